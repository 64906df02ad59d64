"""How the service and its machine fare, in figures and in words."""
