"""Each night `renrum verify` proves the data_dir, in a process of its own at the lowest priority; what it found is kept, and paged."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing, suppress
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from alerts.alarms import Answer
from alerts.resumption import FOLDER, files_of, journalled, thin
from facility.own import VERIFY_OK, own_points
from ingest.journal.entries import CHECKPOINT, SEAL, Body, CheckpointBody, FileBody, SealBody, encode
from ingest.journal.entries import FILE as FILE_ENTRY
from ingest.journal.files import files_of as files_of_journal
from ingest.journal.journal import Journal, JournalReader
from ingest.journal.sealing import day_of
from rules.selecting import matches
from service.clock import Clock
from service.following import Following
from service.pages.outbox import ANSWER_S
from service.proof.sealing import let_go
from service.settings.settings import Nightly as Settings
from service.stored.archive import JOURNAL
from service.verified import Verified, keep, verified_last, words_from

SECOND_NS = 10**9
LOOK_S = 20.0
PAUSE_S = 0.02
"""Between two small writes to the series, which the step thread writes, too."""
NICE = 19
WRONG = "The nightly verify found something wrong, or could not be done: what is stored or judged may not be what it should be."
DO = "`renrum verify` names it, with what to do. Change nothing in the data_dir before."
BROKEN = "Run `renrum verify` by hand: it proves what the nightly one could not. Report the fault with the service's log."
NO_FILE = (
    "The journal could not go on in a new file: all is stored in the one before, which cannot leave the disk when its days are sealed."
)
REPORT = "Look at the disk that holds data_dir; report the fault with the service's log."
FAILED = -1
"""In place of an exit code: the service itself failed."""
_RENRUM = (sys.executable, "-P", "-c", "from service.cli import main; main()")
"""Without the current folder among the places of modules: whoever may write there would be the service."""

Tell = Callable[[str, int, str], object]
"""Pages a reason: alerts/channels/emergency.py."""

log = logging.getLogger(__name__)


def last_due(at: time, zone: ZoneInfo, now_ns: int) -> int:
    """The newest moment, int ns UTC and not after now, at which the site's clocks showed that time of day."""
    today = datetime.fromtimestamp(now_ns // SECOND_NS, zone).date()
    moments = (datetime.combine(today - timedelta(days=days), at, zone).astimezone(UTC) for days in (0, 1))
    return next(due for due in (int(moment.timestamp()) * SECOND_NS for moment in moments) if due <= now_ns)


class Nightly:
    """Runs on a thread of its own. What was missed while the service was down is done `LOOK_S` after its start.

    `now` is what the configuration in force says of it, and where the site is; `tell` pages a reason; `ask` has an entry
    journalled (Stepper.ask); `journal` is the one that goes on in new files.
    """

    def __init__(
        self,
        data_dir: Path,
        now: Callable[[], tuple[Settings, ZoneInfo]],
        clock: Clock,
        tell: Tell,
        ask: Callable[[str, Body], Future[Answer | None]],
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal
        self._data_dir, self._now, self._clock, self._tell, self._ask = data_dir, now, clock, tell, ask
        self._begin: tuple[time, ZoneInfo] | None = None
        self._since_ns = 0 if verified_last(data_dir) else clock.now_ns()

    def run(self, stop: threading.Event) -> None:
        """Look whether it is time until stopped; then a verify that is under way is ended."""
        while not stop.wait(LOOK_S):
            self.look(stop)

    def look(self, stop: threading.Event) -> None:
        """Do what it is time for; people are told of an error of our own, of a verify as of one that says no: nothing is proven then."""
        began_ns = self._clock.now_ns()
        try:
            self.begin_file()
        except Exception:
            log.exception("the journal could not begin a new file; that is tried again")
            self._tell(NO_FILE, self._clock.now_ns(), REPORT)
        try:
            if self.due():
                self.verify(stop)
        except Exception as error:
            if stop.is_set():
                return  # what it asked of the step thread will not be done any more: the next start makes it good
            log.exception("the nightly verify met an error of its own; it is tried again tomorrow")
            self._failed(error, began_ns)

    def _failed(self, error: Exception, began_ns: int) -> None:
        at, self._since_ns = self._clock.now_ns(), began_ns
        try:
            keep(self._data_dir, Verified(began_ns, at, False, FAILED, f"it met an error of its own: {type(error).__name__}: {error}"))
        except OSError:
            log.exception("what the nightly verify met cannot be kept")
        self._tell(WRONG, at, BROKEN)

    def begin_file(self) -> None:
        """Let the journal go on in a new file each day, where what is sealed shall leave it: it leaves in whole files."""
        journal, settings = self._journal, self._now()[0]
        if journal is None or settings.begin is None or not (settings.seal and settings.leave) or not journal.head.seq:
            return
        with closing(journal.reader()) as reader:
            first = reader.entry(files_of_journal(journal.path)[-1][0])
        if first is not None and day_of(first.at) < day_of(self._clock.now_ns()):
            begun = journal.begin_file(FILE_ENTRY, lambda before: encode(FileBody(before)), self._clock.now_ns())
            log.log(logging.INFO if begun else logging.ERROR, "the journal goes on in %s", journal.file.name)

    def due(self) -> bool:
        """Whether its time of day came since the last one began; of a data_dir that was never verified, since the service started."""
        settings, zone = self._now()
        if settings.begin is None:
            return False
        last = verified_last(self._data_dir)
        return last_due(settings.begin, zone, self._clock.now_ns()) > max(self._since_ns, last.began_ns if last else 0)

    def verify(self, stop: threading.Event) -> Verified | None:
        """Run it to its end; None when the service was stopped meanwhile."""
        began_ns = self._clock.now_ns()
        command = [*_RENRUM, "verify", "--data-dir", str(self._data_dir), "--json", "--leave-checkpoint"]
        command += ["--seal"] if self._now()[0].seal else []
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
        output: list[tuple[bytes, bytes]] = []
        reading = threading.Thread(target=lambda: output.append(child.communicate()), name="verify's output", daemon=True)
        reading.start()
        while reading.is_alive():
            if stop.wait(0.2):
                child.terminate()
                reading.join(timeout=5.0)
                return None
        words = words_from(child.returncode, *output[0])
        found = Verified(began_ns, self._clock.now_ns(), child.returncode == 0, child.returncode, words)
        self._since_ns = began_ns
        keep(self._data_dir, found)
        log.log(logging.INFO if found.ok else logging.ERROR, "verify: %s", found.words)
        if not found.ok:
            self._tell(WRONG, found.ended_ns, DO)
        self._leave(output[0][0], stop, found.ok)
        return found

    def _leave(self, output: bytes, stop: threading.Event, ok: bool) -> None:
        """Have the journal vouch for what was left: a checkpoint, sealed days; then let go of what it vouches for, if all is well.

        Else what the databases have may be the last whole copy of a sealed day.
        """
        try:
            document = json.loads(output)
            sealed = [msgspec.convert(body, SealBody) for body in document["sealed_now"]]
            left = document["left"]
        except (ValueError, KeyError, TypeError):
            return
        for body in sealed:
            self._ask(SEAL, body).result(timeout=ANSWER_S)
        if ok and self._now()[0].leave and (gone := let_go(self._data_dir, lambda: stop.wait(PAUSE_S))):
            log.info("sealed days have left the databases; %d MB of the journal went", gone // 1_000_000)
        if left is None:
            return
        seq, sha256 = left
        self._ask(CHECKPOINT, CheckpointBody(seq, sha256)).result(timeout=ANSWER_S)
        with closing(JournalReader(self._data_dir / JOURNAL)) as journal:
            folder = self._data_dir / FOLDER
            thin(folder, journalled(journal, min(files_of(folder), default=0)))


def nightly_of(
    following: Following, clock: Clock, page: Tell, ask: Callable[[str, Body], Future[Answer | None]], journal: Journal
) -> Nightly:
    """As the configuration in force says at each moment.

    A rule that judges the result tells people of it; without one, or where the result could not be kept, `page` does.
    """

    def now() -> tuple[Settings, ZoneInfo]:
        configuration = following.configuration
        return configuration.settings.nightly, ZoneInfo(configuration.facility.site.timezone)

    data_dir = following.configuration.settings.data_dir
    result = next(point for point in own_points() if point.id == VERIFY_OK)

    def tell(reason: str, at: int, do: str) -> None:
        kept = verified_last(data_dir)
        shown = kept is not None and not kept.ok and kept.ended_ns == at
        if not shown or not any(matches(rule.select, result) for rule in following.configuration.rules):
            page(reason, at, do)

    return Nightly(data_dir, now, clock, tell, ask, journal)
