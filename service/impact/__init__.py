"""What a change would do: to a recording, to what is on record."""
