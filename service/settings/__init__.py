"""renrum.yaml: what the service is told of itself."""
