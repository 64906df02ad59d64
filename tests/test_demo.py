"""The first thing that anybody sees: the demo, as a process of its own, for the thirty seconds that the README promises."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

RENRUM = [sys.executable, "-c", "from service.cli import main; main()"]


def renrum(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RENRUM, *arguments], capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.timeout(120)
def test_in_thirty_seconds_every_kind_of_rule_has_found_something_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    done = renrum("demo", "--duration", "30s", "--port", "0", "--data-dir", folder, seconds=90)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert list(said) == ["published", "stored", "duplicates", "quarantined", "excursions", "notifications", "lost"]
    assert said["lost"] == 0
    assert said["published"] == said["stored"] + said["duplicates"] + said["quarantined"]
    assert said["duplicates"] > 0
    assert said["quarantined"] > 0
    pages = [json.loads(line) for line in (tmp_path / "data" / "pages.jsonl").read_text().splitlines()]
    assert said["notifications"] == len(pages)
    assert 0 < len(pages) <= said["excursions"], "the levels of a rule are one alarm"
    with closing(sqlite3.connect(tmp_path / "data" / "state.db")) as state:  # several are told in one page
        found = {rule for (rule,) in state.execute("select distinct rule from alarms")}
    assert {"dp-cascade", "silent", "bad-quality"} <= found, found
    proven = renrum("verify", "--data-dir", folder, seconds=60)
    assert (proven.returncode, "excursions: identical" in proven.stdout) == (0, True), proven.stdout
    again = renrum("demo", "--duration", "3s", "--port", "0", "--data-dir", folder, seconds=60)
    assert again.returncode == 0, again.stderr
    counted = json.loads(again.stdout.splitlines()[-1])
    assert (counted["lost"], counted["published"]) == (0, counted["stored"] + counted["duplicates"] + counted["quarantined"])
