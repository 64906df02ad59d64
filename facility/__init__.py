"""What is monitored and how it speaks: the site, its limits, its units, the wire format, the configuration files."""
