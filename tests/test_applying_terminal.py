"""`renrum apply` at a terminal: an administrator's first change, with the one-time password that has to be changed first."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.changing import edited
from tests.support.nursery import ROOT
from tests.support.service import renrum
from tests.support.signatories import running, staffed

OWN = "seven green bottles"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = staffed(tmp_path / "site", monkeypatch)
    monkeypatch.delenv("RENRUM_PASSWORD")
    return folder


def test_the_first_change_beside_a_running_service(site: Path) -> None:
    first = os.environ["FIRST"]
    with running(site) as pipeline:
        edited(site, "limits.csv", ",action,10,", ",action,12,")
        seen = typed(
            ["--config", str(site), "--url", pipeline.url],
            ("User: ", "admin"), ("Password of admin: ", first), ("for the console too: ", OWN), ("Repeat for confirmation: ", OWN),
            ("Put this in force?", "y"), ("Password again, to sign, meaning approval: ", OWN), ("Signed, ", ""),
        )  # fmt: skip
    told_and_recorded(site, seen, first)


def test_the_first_change_beside_a_stopped_service(site: Path) -> None:
    first = os.environ["FIRST"]
    edited(site, "limits.csv", ",action,10,", ",action,12,")
    seen = typed(
        ["--config", str(site)],
        ("Put this in force?", "y"), ("User: ", "admin"), ("Password of admin, to sign, meaning approval: ", first),
        ("for the console too: ", "short"), ("Repeat for confirmation: ", "short"),
        ("for the console too: ", OWN), ("Repeat for confirmation: ", OWN), ("Signed, ", ""),
    )  # fmt: skip
    assert "it has 5 characters. The one-time password still holds." in seen
    told_and_recorded(site, seen, first)


def told_and_recorded(site: Path, seen: str, first: str) -> None:
    assert "cp1.dp action below 10 → 12 Pa" in seen
    assert OWN not in seen, "what is typed at such a prompt comes back nowhere"
    assert first not in seen
    told = renrum("history", "cp1.dp", "--config", site)  # another process: readers that this one has left open have seen no change
    assert "Administrator (admin)  x — signed as 'approval'" in told.stdout


def typed(options: list[str], *answers: tuple[str, str]) -> str:
    """What a terminal shows of `renrum apply`, which ends well, when each of these prompts is answered so.

    The prompts for passwords with their last blank: nothing is shown from there on.
    """
    command = [sys.executable, "-c", "from service.cli import main; main()", "apply", "--reason", "x", "--no-excursions", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True, cwd=ROOT)
    os.close(theirs)
    seen = ""
    try:
        for prompt, answer in answers:
            seen += until(ours, prompt)
            if answer:
                os.write(ours, f"{answer}\n".encode())
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return seen


def until(terminal: int, words: str) -> str:
    """What the terminal shows, up to these words."""
    seen, deadline = b"", time.monotonic() + 60
    while words.encode() not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096)
    return seen.decode()
