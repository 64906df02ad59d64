"""People and programs: who they are, what they may do, and how that is kept."""
