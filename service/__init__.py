"""The composition root and the command line: the only place with a clock, an environment and threads."""
