"""MQTT in, durable out: session, decoding, admission, quarantine, the journal and its series."""
