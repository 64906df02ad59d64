"""Why there was, or was not, an alarm."""
