"""`renrum run` as a process of its own on a folder of its own: started, killed, stopped, and waited for."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from alerts.record.kept import sums_from
from ingest.admission.intake import Sums
from ingest.journal.entries import INGEST
from ingest.journal.journal import Head, JournalReader
from tests.support.nursery import ROOT, nursery

_SINK = {"sink": {"kind": "local", "file": "pages.jsonl"}}


class Service:
    """Inside `with`, killed at its end; `pages` is the sink of its only channel unless `channels` says otherwise.

    `hooks` are arguments of tests/support/hooked.py: a clock that can be stepped, a moment at which the process kills itself.
    """

    def __init__(
        self,
        folder: Path,
        example: Path,
        broker_url: str,
        *,
        rules: str = "",
        data_dir: str = "./data",
        channels: Mapping[str, Mapping[str, str]] = _SINK,
        hooks: Sequence[str] = (),
        evaluate_every: str = "200ms",
    ) -> None:
        self.folder, self.hooks = folder, tuple(hooks)
        self.data_dir = (folder / data_dir).resolve()
        self.pages_file = folder / "pages.jsonl"
        self.log_file = folder / "log"
        self._pid: int | None = None
        self._begun = 0
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "facility.yaml").write_text((example / "facility.yaml").read_text())
        (folder / "rules.yaml").write_text((example / "rules.yaml").read_text() + rules)
        (folder / "oncall.yaml").write_text(json.dumps({"channels": channels}))
        settings = {
            "environment": "validation",
            "facility": "facility.yaml",
            "rules": "rules.yaml",
            "oncall": "oncall.yaml",
            "data_dir": data_dir,
            "mqtt": {"url": broker_url},
            "evaluate_every": evaluate_every,
            "http": {"host": "127.0.0.1", "port": 0},
        }
        if (example / "limits.csv").exists():
            (folder / "limits.csv").write_text((example / "limits.csv").read_text())
            settings["limits"] = "limits.csv"
        self.config = folder / "renrum.yaml"
        self.config.write_text(json.dumps(settings))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        if kind is not None:
            print(f"--- the end of {self.log_file}:\n{self.log[-4000:]}")

    # Its life

    def start(self) -> None:
        assert self._pid is None
        self._begun = len(self.log)
        self._pid = nursery().born([*self.hooks, "--", "run", "--config", str(self.config)], self.log_file)

    def kill(self) -> None:
        """SIGKILL, at any moment of its life; does nothing when it is not running."""
        if self._pid is not None:
            if self.alive:
                os.kill(self._pid, signal.SIGKILL)
            self.died()

    def stop(self) -> None:
        """SIGTERM, once it runs; it must end well."""
        self.until(lambda: self.running)
        assert self._pid is not None
        os.kill(self._pid, signal.SIGTERM)
        assert self.died() == 0, self.log[-3000:]

    def died(self, within_s: float = 40.0) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        assert self._pid is not None
        deadline = time.monotonic() + within_s
        while (code := nursery().ended(self._pid)) is None:
            if time.monotonic() > deadline:
                os.kill(self._pid, signal.SIGKILL)
                deadline += 10
                print(f"it had to be killed; its log ends: {self.log[-3000:]}")
            time.sleep(0.01)
        self._pid = None
        return code

    @property
    def alive(self) -> bool:
        return self._pid is not None and nursery().ended(self._pid) is None

    @property
    def running(self) -> bool:
        """Whether it said that it runs, since it was last started."""
        return "Renrum monitors" in self.log[self._begun :]

    @property
    def url(self) -> str:
        """Where its console is, since it was last started; waits until it said so, which is later than its link to the broker."""
        if not self.running:
            self.until(lambda: self.running)
        found = re.findall(r"console at (\S+),", self.log[self._begun :])
        return str(found[-1])

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # What it has done

    @property
    def sums(self) -> Sums:
        """Conservation as of the newest committed step; empty before the first."""
        text = self._state("select value from meta where key = 'sums'")
        return sums_from(text[0][0]) if text else Sums()

    @property
    def unsent(self) -> int:
        rows = self._state("select count(*) from outbox where sent_at is null")
        return int(rows[0][0]) if rows else 0

    @property
    def judged(self) -> bool:
        """Whether a committed step has everything that was received until now."""
        rows = self._state("select value from meta where key = 'cursor'")
        newest = self.newest(INGEST)
        return bool(rows) and int(rows[0][0]) >= newest.seq

    def excursions(self, rule: str) -> list[Any]:
        """The rows that a rule has by the newest committed step."""
        return self._state(f"select * from excursions where rule = '{rule}'")

    def newest(self, kind: str) -> Head:
        try:
            with closing(JournalReader(self.data_dir / "journal.db")) as reader:
                entry = reader.last(kind)
        except Exception:
            return Head()
        return Head(entry.seq, entry.at, entry.heard, entry.hash) if entry else Head()

    def links(self, event: str) -> int:
        """How often a link event of a kind was journalled."""
        from ingest.journal.entries import LINK, LinkBody, decode

        try:
            with closing(JournalReader(self.data_dir / "journal.db")) as reader:
                bodies = [decode(entry) for entry in reader.entries(kinds=(LINK,))]
        except Exception:
            return 0
        return sum(isinstance(body, LinkBody) and body.event == event for body in bodies)

    @property
    def pages(self) -> list[dict[str, Any]]:
        """What lies in the local sink: whole lines."""
        if not self.pages_file.exists():
            return []
        lines = self.pages_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def until(self, true: Callable[[], bool], within_s: float = 30.0) -> None:
        """Wait for something that it does; fails when it ended meanwhile, or took too long."""
        deadline = time.monotonic() + within_s
        while not true():
            assert self.alive, f"it ended: {self.log[-3000:]}"
            assert time.monotonic() < deadline, f"not within {within_s} s: {self.sums}, unsent {self.unsent}; {self.log[-3000:]}"
            time.sleep(0.05)

    def until_listening(self) -> None:
        """Until a session at the broker is there, so that it queues from now on."""
        before = self.links("drained")
        self.until(lambda: self.links("drained") > before)

    def until_stored(self, readings: int, within_s: float = 30.0) -> None:
        """Until so many are stored, all is judged, and every page is delivered."""
        self.until(lambda: self.sums.stored >= readings and self.judged and not self.unsent, within_s)

    def _state(self, query: str) -> list[Any]:
        path = self.data_dir / "state.db"
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as connection:
                return connection.execute(query).fetchall()
        except sqlite3.Error:
            return []


def renrum(*arguments: str | os.PathLike[str], timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """A command of `renrum`, run to its end."""
    command = [sys.executable, "-c", "from service.cli import main; main()", *(str(argument) for argument in arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
