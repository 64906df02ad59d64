"""What is stored, opened to be looked at by threads and commands."""
