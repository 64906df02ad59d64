"""The life of an alarm: its table of transitions, the flags beside it, and what is told as one."""
