"""The journal for others: exports, and InfluxDB."""
