"""The console: one live page and a page for each alarm, readable without scripts."""
