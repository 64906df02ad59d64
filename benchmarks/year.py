"""`python -m benchmarks.year`: the nightly verify of a site that has run for a year, its old days sealed. By hand, as it builds that year.

Days are journalled, judged, sealed and let go of as the service does it, one after the other. All but the newest are judged by few steps
(`--steps-every`), since their steps are not evaluated again at night; of the newest there is a step each second.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alerts.resumption import FOLDER, Proven, leave
from benchmarks.bench import machine
from benchmarks.history import START_NS, Installation, ingest_body_of
from benchmarks.plant import SECOND_NS, rounds, site
from ingest.journal.entries import CHECKPOINT, FILE, INGEST, SEAL, CheckpointBody, FileBody, encode
from service.configuration.configuration import Configuration, load_configuration
from service.proof.sealing import let_go, seal_what_is_due

DAY_S = 86_400
FIRST_MIDNIGHT_S = -START_NS // SECOND_NS % DAY_S
SLOT_S = 1
"""The readings of so long make an entry."""


def installed(folder: Path, points: int) -> Configuration:
    """The site of the benchmarks with delays that fit its period: what is out for a minute alarms nobody."""
    site(folder, points)
    rules = (folder / "rules.yaml").read_text().replace("delay: 5s", "delay: 5m").replace("after: 60s", "after: 5m")
    (folder / "rules.yaml").write_text(rules)
    return load_configuration(folder / "renrum.yaml", {})


def live(place: Installation, day: int, period_s: int, slot_s: int, step_s: int) -> None:
    """A day arrives and is judged."""
    count = DAY_S // period_s
    said = rounds(day * count, count, place.points)
    turn = np.arange(place.points) * period_s // place.points // slot_s
    slots = [np.flatnonzero(turn == slot) for slot in range(-(-period_s // slot_s))]
    begin = FIRST_MIDNIGHT_S + day * DAY_S
    for number in range(count):
        for slot, which in enumerate(slots):
            second = number * period_s + slot * slot_s
            place.round = begin + second
            at = START_NS + place.round * SECOND_NS
            times = np.full(len(which), at - SECOND_NS // 2)
            if len(which):
                body = ingest_body_of(which, times, said.value[number, which], said.quality[number, which])
                place.journal.append(INGEST, body, at, place.round * SECOND_NS, len(which))
            if second % step_s == 0:
                place.step()
    place.round = begin + DAY_S - 1
    place.step()
    place.memory.write(all_of_it=True)


def night(place: Installation, data_dir: Path) -> int:
    """What the service does at night beside verifying: a new file, seals, what is sealed leaves; how many days were sealed."""
    at = START_NS + (place.round + 1) * SECOND_NS
    place.journal.begin_file(FILE, lambda before: encode(FileBody(before)), at)
    sealed = seal_what_is_due(data_dir)
    for body in sealed:
        place.journal.append(SEAL, encode(body), at)
    let_go(data_dir, lambda: False)
    return len(sealed)


def leave_checkpoint(place: Installation, data_dir: Path) -> None:
    """What the verify of the night before the last left: this run's own state, as nothing else was evaluated."""
    place.ledger.settle()
    cursor = place.ledger.cursor
    known = Proven(states=place.memory.states())
    _, sha256 = leave(data_dir / "state.db", data_dir / FOLDER, cursor, known)
    place.journal.append(CHECKPOINT, encode(CheckpointBody(cursor, sha256)), place.journal.head.at)


def built(folder: Path, days: int, points: int, period_s: int, slot_s: int, steps_s: int, newest_s: int) -> Iterator[str]:
    """Builds the data_dir, or what is missing where that was interrupted; says what it took, now and then."""
    configuration = installed(folder, points)
    data_dir = configuration.settings.data_dir
    begun, sealed = time.perf_counter(), 0
    place = Installation.open(data_dir, points, durable=False)
    if not place.ledger.cursor:
        place.round = FIRST_MIDNIGHT_S
        place.configure(configuration)
    for day in range(-(-(place.round - FIRST_MIDNIGHT_S) // DAY_S), days):
        newest = day == days - 1
        if newest:
            leave_checkpoint(place, data_dir)
        live(place, day, period_s, SLOT_S if newest else slot_s, newest_s if newest else steps_s)
        if not newest:
            sealed += night(place, data_dir)
        if day % 10 == 9 or newest:
            yield f"day {day + 1}: {place.journal.head.seq:,} entries, {sealed} days sealed, {time.perf_counter() - begun:,.0f} s"
    place.ledger.settle()
    place.close()


def verified(data_dir: Path, *more: str) -> dict[str, object]:
    """`renrum verify` as a process of its own: seconds of wall and of processor, memory at most in MB, and what it says."""
    command = [sys.executable, "-c", "from service.cli import main; main()", "verify", "--json", "--data-dir", str(data_dir), *more]
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output)
        peak_kb = 0
        while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
            # Not of `wait4`: a child begins with the peak of the process that it was born of, which has built a year.
            peak_kb = max(peak_kb, *map(int, re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{child.pid}/status").read_text())), 0)
            time.sleep(0.2)
        _, status, usage = ended
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        document = json.loads(output.read() or b"{}")
    said = {name: part["checked"] for name, part in document.items() if isinstance(part, dict)}
    cpu_s = usage.ru_utime + usage.ru_stime
    return {
        "exit": child.returncode, "wall_s": round(time.perf_counter() - begun, 1), "cpu_s": round(cpu_s, 1),
        "peak_mb": round(peak_kb / 1024), "said": said,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.year", description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--period", type=int, default=30, help="seconds between two readings of a point")
    parser.add_argument("--entry", type=int, default=1, help="readings of so many seconds make an entry, but on the newest day one second")
    parser.add_argument("--steps-every", type=int, default=3600, help="seconds between two steps, but on the newest day one")
    parser.add_argument("--newest", type=int, default=1, help="seconds between two steps of the newest day")
    parser.add_argument("--all", action="store_true", help="also `verify --all`")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build"),
        help="where it is built, in `year`, and goes on when it was interrupted; it takes some 23 MB a sealed day",
    )
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    folder: Path = asked.folder / "year"
    folder.mkdir(exist_ok=True)
    print(machine(folder), flush=True)
    for line in built(folder, asked.days, asked.points, asked.period, asked.entry, asked.steps_every, asked.newest):
        print(line, flush=True)
    data_dir = folder / "data"
    for more in ((), ("--all",)) if asked.all else ((),):
        print(json.dumps({"verify": list(more)} | verified(data_dir, *more), indent=2), flush=True)
    print(json.dumps({"the night, with sealing": verified(data_dir, "--leave-checkpoint", "--seal")}, indent=2), flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
