"""What people look at: the console and the HTTP interface."""
