"""What stands in a payload: fields with patience, foreign shapes as sources.yaml maps them, times, topics."""
