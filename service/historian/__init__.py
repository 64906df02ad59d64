"""The feed of InfluxDB, and journal and InfluxDB side by side."""
