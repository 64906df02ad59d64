"""The command line with hooks for tests: a wall clock that a file steps, and a moment at which the process kills itself.

    python -m tests.support.hooked [--clock FILE] [--die POINT:N] [--readonly FILE] [--write-at N] -- run --config renrum.yaml

--clock: the file says by how many seconds the wall clock is off; the monotonic clock goes on.
--die: SIGKILL when a point is passed for the N-th time.
--die-after KIND:POINT: SIGKILL when a point is passed for the first time after an entry of that kind with Anna's name was journalled.
--die-once FILE:POINT: SIGKILL when a point is passed for the first time after the file is there.
--readonly: the file names databases (journal, state, series) that refuse to be written, with the error of a read-only mount.
--write-at: so many readings are gathered before the series is written.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POINTS = ("journalled", "stepped", "applied", "committed", "projected", "sent")
"""After a journal entry, after a step's entry, before the state commits, after it, after the series is written, after a page was sent."""
TELLING = ("sending", "delivered")
"""Before a page is sent, after its delivery was journalled."""


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    options = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    if "--die" in options:
        point, _, number = options["--die"].partition(":")
        die_at(point, int(number))
    if "--die-after" in options:
        kind, _, point = options["--die-after"].partition(":")
        die_at(point, 1, kind)
    if "--die-once" in options:
        file, _, point = options["--die-once"].rpartition(":")
        die_at(point, 1, armed_by=Path(file))
    if "--write-at" in options:
        from ingest.series import recollection

        recollection.WRITE_AT = int(options["--write-at"])
    if "--readonly" in options:
        refuse(Path(options["--readonly"]))
    if "--clock" in options:
        follow(Path(options["--clock"]))
    sys.argv = ["renrum", *arguments[split + 1 :]]
    from service.cli import main as run

    run()


def die_at(point: str, number: int, after_kind: str = "", armed_by: Path | None = None) -> None:
    """Have the process kill itself when it passes a point for the n-th time, counted from an entry of a kind with Anna's name if given.

    With `armed_by` from when that file is there.
    """
    from alerts.channels import delivery
    from alerts.ledger import Ledger
    from ingest.journal.entries import DELIVERY, STEP
    from ingest.journal.journal import Journal
    from ingest.series.recollection import Recollection
    from service.pages.outbox import Outbox

    lock, passed = threading.Lock(), [0]
    armed = [not after_kind]
    if after_kind:
        plain_append = Journal.append

        def watched(self: Any, kind: str, body: bytes, *given: Any, **named: Any) -> Any:
            entry = plain_append(self, kind, body, *given, **named)
            armed[0] = armed[0] or (kind == after_kind and b"Anna" in body)
            return entry

        Journal.append = watched  # type: ignore[method-assign]

    def strike() -> None:
        with lock:
            if not armed[0] or not (armed_by is None or armed_by.exists()):
                return
            passed[0] += 1
            if passed[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(10)

    def after(owner: Any, name: str, when: Callable[..., bool] = lambda *_: True) -> None:
        plain = getattr(owner, name)

        def hooked(*given: Any, **named: Any) -> Any:
            result = plain(*given, **named)
            if when(*given):
                strike()
            return result

        setattr(owner, name, hooked)

    def before(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def hooked(*given: Any, **named: Any) -> Any:
            strike()
            return plain(*given, **named)

        setattr(owner, name, hooked)

    {
        "journalled": lambda: after(Journal, "append"),
        "stepped": lambda: after(Journal, "append", lambda _, kind, *__: kind == STEP),
        "applied": lambda: after(Ledger, "_progress"),
        "committed": lambda: after(Ledger, "apply"),
        "projected": lambda: after(Recollection, "write"),
        "sent": lambda: before(Outbox, "record"),
        "sending": lambda: before(delivery, "deliver"),
        "delivered": lambda: after(Journal, "append", lambda _, kind, *__: kind == DELIVERY),
    }[point]()


def refuse(file: Path) -> None:
    """Have the databases that the file names refuse to be written, each on its own connection, as SQLite does on a read-only mount."""
    from alerts.record.store import StateStore
    from ingest.journal.journal import Journal
    from ingest.series.series import Series

    def refusing(owner: Any, name: str, what: str) -> None:
        plain = getattr(owner, name)

        def hooked(self: Any, *given: Any, **named: Any) -> Any:
            if self._connection is not None:
                refused = file.exists() and what in file.read_text().split()
                self._connection.execute(f"pragma query_only = {int(refused)}")
            return plain(self, *given, **named)

        setattr(owner, name, hooked)

    def opening(owner: Any, name: str, what: str) -> None:
        plain = getattr(owner, name)

        def hooked(self: Any) -> None:
            plain(self)
            if file.exists() and what in file.read_text().split():
                self._connection.execute("pragma query_only = 1")

        setattr(owner, name, hooked)

    refusing(Journal, "_append", "journal")  # under its lock: two threads append
    opening(Journal, "_open", "journal")
    refusing(StateStore, "transaction", "state")
    refusing(Series, "write", "series")


def follow(file: Path) -> None:
    """Step the wall clock of this process, in Python's eyes and APScheduler's, whenever the file says another offset."""
    import time_machine

    def offset() -> float:
        try:
            return float(file.read_text() or 0)
        except (OSError, ValueError):
            return now

    now = 0.0
    now = offset()
    clock = time_machine.travel(time.time() + now, tick=True).start()

    def watch() -> None:
        nonlocal now
        while True:
            time.sleep(0.05)
            wanted = offset()
            if wanted != now:
                clock.shift(wanted - now)
                now = wanted

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
