"""Who is told of an alarm, one after another, until somebody acknowledges; tests of it, and the message of each day."""
