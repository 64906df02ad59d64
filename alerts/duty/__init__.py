"""Who is on duty, and who is told what when: pure, from the on-call file and the overrides made since."""
