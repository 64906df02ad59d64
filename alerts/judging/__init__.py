"""Judgement over the journal: what is new advances, what is late is judged again, the past is tried with other rules."""
