"""Sealing killed at every moment: whatever it leaves, nothing is lost, and the next night does it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest

from ingest.journal.entries import FILE, FileBody, StepBody, encode
from ingest.journal.inspection import inspect_chain
from ingest.journal.journal import Journal, JournalReader
from tests.support.nursery import ROOT
from tests.support.verifying import report
from tests.test_sealing import days, entries_of

# In this process each call of the named functions counts; before the one that is asked for it kills itself.
_KILLED = """
import os, signal, sys
from pathlib import Path
import ingest.journal.sealing, ingest.journal.files, ingest.series.series, service.proof.sealing, sqlite3
from ingest.journal.entries import SEAL, FILE, FileBody, StepBody, encode
from ingest.journal.journal import Journal
from service.proof.sealing import let_go, seal_what_is_due

data_dir, moment, calls = Path(), 0, 0

def counted(where, name):
    real = getattr(where, name)
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    setattr(where, name, call)

counted(Path, "replace")
counted(Path, "unlink")
counted(ingest.journal.sealing, "_durable")
counted(ingest.journal.sealing, "read_again")
counted(ingest.series.series.Series, "let_go")
counted(Journal, "_append")
counted(Journal, "_open")

def night():
    journal = Journal(data_dir / "journal.db", durable=False)
    journal.begin_file(FILE, lambda before: encode(FileBody(before)), 0)
    for body in seal_what_is_due(data_dir, journal.head.at + 40 * 86_400 * 10**9, days_at_most=1):
        journal.append(SEAL, encode(body), 0)
    journal.append("step", encode(StepBody(0)), 0)
    let_go(data_dir, lambda: False)
    journal.close()

# Loading takes a second, so each night is a fork of this process, which has nothing open.
for line in sys.stdin:
    folder, number = line.split()
    data_dir, moment = Path(folder), int(number)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            night()
            print(calls, flush=True)
            status = 0
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nights:
    """Nights, each in a process of its own that may kill itself."""

    def __enter__(self) -> Nights:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _KILLED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.__exit__(None, None, None)  # closes its pipes, at which it ends

    def one(self, data_dir: Path, moment: int) -> list[int]:
        """How it ended, before that how many moments there were when it came to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(data_dir, moment, file=self._process.stdin, flush=True)
        said = [int(self._process.stdout.readline())]
        return said if said[0] < 0 else [*said, int(self._process.stdout.readline())]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, a file each, left as by a kill."""
    folder = tmp_path_factory.mktemp("site")
    with closing(days(folder / "site", 3)) as place:
        place.ledger.settle()
        return place.data_dir


def copied(site: Path, folder: Path) -> Path:
    return Path(shutil.copytree(site, folder / "data"))


PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_moment_nothing_is_lost_and_the_next_night_does_it(site: Path, tmp_path: Path, part: int) -> None:
    before = entries_of(site)
    with Nights() as nights:
        total, ended = nights.one(copied(site, tmp_path / "whole"), 0)
        assert (total > 20, ended) == (True, 0), "files, digests, seals, removals"
        for moment in range(1 + part, total + 1, PARTS):
            data_dir = copied(site, tmp_path / str(moment))
            assert nights.one(data_dir, moment) == [-signal.SIGKILL], moment
            assert entries_of(data_dir)[: len(before)] == before, moment
            assert [str(flaw) for flaw in inspect_chain(data_dir / "journal.db").flaws] == [], moment
            with closing(JournalReader(data_dir / "journal.db")) as reader:
                last = reader.issued()
            assert nights.one(data_dir, 0)[1] == 0, moment
            found = entries_of(data_dir)
            assert (found[: len(before)], len(found) > last) == (before, True), moment
            if moment % 7 == 0:  # each takes a second
                document = report(data_dir)
                assert document["journal"]["ok"], (moment, document["journal"])
                assert document["sealed"]["ok"], (moment, document["sealed"])
                assert document["sealed"]["days"] >= 1
            shutil.rmtree(data_dir)


def test_a_journal_killed_while_it_goes_on_in_a_new_file(tmp_path: Path) -> None:
    """At each moment of the change, from within: what was durable is there, and it goes on."""
    script = """
    import sys
    from pathlib import Path
    from ingest.journal.entries import FILE, FileBody, StepBody, encode
    from ingest.journal.journal import Journal
    journal = Journal(Path(sys.argv[1]))
    assert not journal.begin_file(FILE, lambda before: encode(FileBody(before)), 1), "an empty one has nothing to go on from"
    journal.append("step", encode(StepBody(0)), 1)
    while True:
        journal.begin_file(FILE, lambda before: encode(FileBody(before)), 2)
        for number in range(3):
            print(journal.append("step", encode(StepBody(number)), 3).seq, flush=True)
    """
    for run in range(6):
        path = tmp_path / str(run) / "journal.db"
        path.parent.mkdir()
        command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(3)]
            time.sleep(0.031 * run)
            process.kill()
            told = int((said + process.stdout.read().splitlines())[-1])
        with closing(Journal(path)) as journal:
            assert journal.head.seq >= told
            assert journal.begin_file(FILE, lambda before: encode(FileBody(before)), 4)
            journal.append("step", encode(StepBody(0)), 5)
        assert [str(flaw) for flaw in inspect_chain(path).flaws] == []
