"""The journal for others: exports, and later InfluxDB and sealed days."""
