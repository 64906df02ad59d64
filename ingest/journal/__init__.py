"""The journal: its entries and their chain, its files byte by byte, the days of it that are sealed, its copy on another disk."""
