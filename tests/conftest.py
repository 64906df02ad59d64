"""What holds for every test: Hypothesis' profiles, and a list of what was skipped and why at the end."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None, print_blob=True)
# The same examples in every run, so that a change is refused for what it does; new ones are sought by each `make test`.
settings.register_profile("ci", max_examples=50, deadline=None, print_blob=True, derandomize=True, database=None)
settings.register_profile("thorough", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile("local")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each skipped test with its reason: a test that did not run must not look like one that passed."""
    skipped = terminalreporter.getreports("skipped")
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} skipped")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
