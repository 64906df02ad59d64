"""The session with the broker: read, have it stored, only then acknowledge."""
