"""The challenge: every rule driven on an instance of its own, and what came of it beside what had to come (docs/challenge.md)."""
