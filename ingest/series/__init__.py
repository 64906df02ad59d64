"""Readings by point and time, for look-ups, rewinds, trends and export."""
