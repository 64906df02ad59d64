"""Recorded steps, alarms and pages: from a finding to the person on call."""
