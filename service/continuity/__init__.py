"""What outlives a machine: backup, restore, the guard against a second instance, the watch from outside, the proof of an installation."""
