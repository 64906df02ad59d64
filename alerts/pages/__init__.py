"""What a person is told, in words and as a picture."""
