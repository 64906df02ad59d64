"""What the broker says that nobody configured: listened to (`heard`), sorted (`sorted_out`), and drafted as YAML (`guesses`, `drafts`)."""
