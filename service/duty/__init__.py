"""Who is on duty in the running service, and its tests."""
