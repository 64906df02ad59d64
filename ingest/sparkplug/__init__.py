"""Sparkplug B: payloads, edge nodes and their births, and the host application that we are to them."""
