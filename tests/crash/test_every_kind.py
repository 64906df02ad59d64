"""Rules of every kind over a real Mosquitto, the service killed and restarted, a tenth of the readings up to an hour late.

What people prove with commands alone holds: `verify` says identical, and the current excursions are those of the exported recording.
"""

from __future__ import annotations

import csv
import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from alerts.record.store import StateStore
from facility.times import parse_time
from ingest.journal.entries import INGEST, STEP
from rules.excursion import CURRENT
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from simulators.broker import Broker
from simulators.outlet import Outlet
from tests.crash.test_killed import excursions_in, kill_at_random
from tests.support.every_kind import CLOCKS, MINUTE_NS, MINUTES, QUIET, Told, say, written
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.proof import Proof
from tests.support.pump import SECOND_NS, Pump, partly_late
from tests.support.recordings import chance
from tests.support.service import Service, renrum

HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
SETTLED_NS = 3 * SECOND_NS
"""After which nothing waits for another stream."""

pytestmark = needs_mosquitto


@pytest.mark.timeout(240)
def test_killed_and_late_by_an_hour(tmp_path: Path) -> None:
    dice = chance()
    example = written(tmp_path / "example")
    (tmp_path / "clock").write_text("0")
    told = Told(example)
    sent = told.hours(time.time_ns() - MINUTES * MINUTE_NS - 2 * HOUR_NS, dice)
    sent = partly_late(sent, dice, 0.1, HOUR_NS)
    hooks = ("--clock", str(tmp_path / "clock"))
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", example, broker.url, hooks=hooks) as service:
        service.until_listening()
        with Outlet(Broker("127.0.0.1", broker.port), SystemClock()) as hand:
            by_hand = Hand(service, hand, told, tmp_path / "clock")
            by_hand.begin()
            pump = Pump(broker.port, sent, 10.0).start()
            for part in (by_hand.one_clock_was_ahead, by_hand.all_clocks_are_ahead, by_hand.all_clocks_are_right):
                kill_at_random(service, dice)
                broker.stop()
                broker.start()
                kill_at_random(service, dice)
                part()
            pump.join()
            by_hand.quiet_again()
        readings = sum(b'"state"' not in message.payload for message in sent)
        service.until_stored(readings + by_hand.stored, within_s=90.0)
        service.until(lambda: service.newest(STEP).at > service.newest(INGEST).at + SETTLED_NS)
        service.stop()
    proof = Proof(service.data_dir)
    assert proof.holds(tmp_path / "again", service.pages) > 0
    found_by_every_rule(service)
    verified = renrum("verify", "--config", service.config)
    assert verified.returncode == 0, verified.stdout
    assert "identical" in verified.stdout
    live, offline = live_and_offline(service, tmp_path)
    assert live == offline


class Hand:
    """What is told by hand, as it is judged on arrival; the wall clock is stepped where it would have to be waited for."""

    def __init__(self, service: Service, outlet: Outlet, told: Told, clock: Path) -> None:
        self._service, self._outlet, self._told, self._clock = service, outlet, told, clock
        self._ahead_s, self._refused, self.stored = 0, 0, 0

    def begin(self) -> None:
        """A point that is silent from now on, and a clock that is ahead by a day."""
        self._right(QUIET)
        self._ahead(CLOCKS[0])

    def one_clock_was_ahead(self) -> None:
        self._two_minutes_pass()
        self._right(CLOCKS[0])

    def all_clocks_are_ahead(self) -> None:
        self._two_minutes_pass()
        self._ahead(*CLOCKS)

    def all_clocks_are_right(self) -> None:
        self._two_minutes_pass()
        self._right(*CLOCKS)

    def quiet_again(self) -> None:
        """It was found silent, and says something."""
        self._service.until(lambda: bool(self._service.excursions("silent")))
        self._right(QUIET)

    def _two_minutes_pass(self) -> None:
        """What was refused is in the journal, and the service's clock is stepped."""
        self._service.until(lambda: self._service.running)
        self._service.until(lambda: self._service.sums.quarantined.get("clock_ahead", 0) >= self._refused)
        self._ahead_s += 120
        self._clock.write_text(str(self._ahead_s))
        stepped = time.time_ns() + (self._ahead_s - 60) * SECOND_NS
        self._service.until(lambda: self._service.newest(STEP).at > stepped, within_s=60.0)

    def _right(self, *points: str) -> None:
        self._say(0, *points)
        self.stored += len(points)

    def _ahead(self, *points: str) -> None:
        self._say(DAY_NS, *points)
        self._refused += len(points)

    def _say(self, ahead_ns: int, *points: str) -> None:
        time_ns = time.time_ns() + self._ahead_s * SECOND_NS + ahead_ns
        say(self._outlet, *(self._told.reading(point, time_ns, 400.0) for point in points))


def found_by_every_rule(service: Service) -> None:
    """Each rule found something, our own clock was told of, and late readings revised what had been found before."""
    rules = load_configuration(service.config, {}).rules
    with closing(StateStore(service.data_dir / "state.db", readonly=True)) as store:
        rows = store.excursions()
    current = [row for row in rows if row.status == CURRENT]
    assert {row.rule for row in current} == {rule.id for rule in rules}
    assert {row.point for row in current if row.rule == "ahead"} == {CLOCKS[0], "$clock"}
    assert "revised" in {row.status for row in rows}


def live_and_offline(service: Service, folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The current excursions, and those of the exported recording.

    Without when silence is raised, which is told in listening time, and without one that lasts: live the clock went on.
    """
    exported, refused, recording, replayed, live = (folder / f"{name}.csv" for name in ("exported", "refused", "all", "replayed", "live"))
    ran("export", "--config", service.config, "--out", exported)
    ran("quarantine", "--config", service.config, "--reason", "clock_ahead", "--out", refused)
    with_refused(exported, refused, recording)
    ran("replay", recording, "--config", service.config, "--out", replayed)
    ran("excursions", "--config", service.config, "--out", live)
    with recording.open() as rows:
        begun = min(parse_time(row["received"]) for row in csv.DictReader(rows))
    return over(excursions_in(live), begun), over(excursions_in(replayed), begun)


def over(rows: list[dict[str, str]], begun: int) -> list[dict[str, str]]:
    """Of silences those that ended; one from before anything was received is that of a machine too slow to speak in time."""
    silent = [row for row in rows if row["rule"] == "silent" and row["ended"] and parse_time(row["onset"]) >= begun]
    return [row for row in rows if row["rule"] != "silent"] + [row | {"raised": ""} for row in silent]


def with_refused(exported: Path, refused: Path, recording: Path) -> None:
    """A recording of what was stored and of what was refused for its clock, in the order of arrival."""
    with exported.open() as stored, refused.open() as pieces, recording.open("w", newline="") as out:
        rows = csv.DictReader(stored)
        every = list(rows)
        for piece in csv.DictReader(pieces):
            said = json.loads(piece["payload"])
            point = piece["topic"].rpartition("/")[2]
            every.append({"time": said["time"], "point": point, "value": str(said["value"]), "received": piece["received"]})
        writer = csv.DictWriter(out, rows.fieldnames or ())
        writer.writeheader()
        writer.writerows(sorted(every, key=lambda row: parse_time(row["received"])))


def ran(*arguments: str | Path) -> None:
    done = renrum(*arguments)
    assert done.returncode == 0, done.stderr
