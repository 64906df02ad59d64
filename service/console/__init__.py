"""The running service as its pages see it."""
