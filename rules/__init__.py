"""Judgement, pure: no clock, disk, network or chance (semantics number 1, docs/rules.md)."""
