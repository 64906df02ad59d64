"""Admission: what is new, doubled, in conflict, or not understood, live, from recordings and out of quarantine."""
