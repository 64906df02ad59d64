"""Cleanrooms, instruments and playback; they reach the rest over MQTT or a file only."""
