"""`renrum doctor`: what it looks at, and what to do."""
