"""A site of many points and many rules of every kind: checked, read, laid over its points, and judged step by step."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from ruamel.yaml import YAML

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, ratio, spread
from benchmarks.history import Installation, lived
from benchmarks.plant import DELAY_S, KINDS, ROOM_POINTS, raised_by_limits, site
from benchmarks.step import STEP_MS_MAX, installation, long_history
from rules.plan import plan_of
from service.configuration.configuration import Configuration, judging_from_entry, load_configuration

ROOM_RULES = 30
READS_MAX = 3.0
"""So many times as long as only parsing its rules.yaml may it take to read and check the site."""


def run(bench: Bench) -> Iterator[Figure]:
    """The site is checked, loaded and laid out; then steps after a short and a long history, and with few rules, in turn."""
    points = bench.size(10_000, 200)
    folder = bench.place("ruled")
    configuration = ruled_site(folder, points)
    yield from _reading(bench, folder, configuration)
    yield from _steps(bench, configuration)


def _reading(bench: Bench, folder: Path, configuration: Configuration) -> Iterator[Figure]:
    runs, entry, number_of = bench.size(3, 1), configuration.as_entry(), _numbers(configuration)
    loads = [(_cpu_s(lambda: _parsed(folder)), _cpu_s(lambda: load_configuration(folder / "renrum.yaml", {}))) for _ in range(runs)]
    parsed_s, loaded_s = map(list, zip(*loads, strict=True))
    limit = Limit(ratio(loaded_s, parsed_s), READS_MAX, " times")
    what = f"load of {len(configuration.facility.points):,} points, {len(configuration.rules):,} rules"
    yield Figure(what, median(loaded_s), "s", f"on the processor; beside only parsing rules.yaml, {median(parsed_s):.1f} s", limit)
    checks = [_checked_s(folder) for _ in range(runs)]
    note = f"of a processor; {median([wall_s for _, wall_s in checks]):.1f} s of wall, with the start of the process"
    yield Figure("  `renrum check`", median([cpu_s for cpu_s, _ in checks]), "s", note)
    yield Figure("  to read it again from its journal entry", _cpu_s(lambda: judging_from_entry(entry)), "s")
    plan = plan_of(*configuration.judge, number_of)
    pairs = sum(map(len, (*plan.groups, plan.stale)))
    yield Figure("  to lay the rules over the points", _cpu_s(lambda: plan_of(*configuration.judge, number_of)), "s", f"{pairs:,} pairs")


def _steps(bench: Bench, configuration: Configuration) -> Iterator[Figure]:
    points = len(configuration.facility.points)
    entry_readings, longer = bench.size(1000, 10), long_history(bench)
    young, old = (lived(bench.place(f"ruled-{readings}"), configuration, readings, entry_readings)[0] for readings in (points, longer))
    plain, _, _ = installation(bench, "young", points, points)
    all_of_them = (plain, young, old)
    took_ms: list[list[float]] = [[] for _ in all_of_them]
    on_cpu_ms = []
    for _ in range(bench.size(20, 2)):
        for which, took in zip(all_of_them, took_ms, strict=True):
            which.arrive(1, entry_readings)
            begun = time.process_time()
            took.append(which.step() / 1e6)
            if which is old:
                on_cpu_ms.append((time.process_time() - begun) * 1e3)
    ours = median(took_ms[2])
    what, note = f"step, {points:,} points, {len(configuration.rules):,} rules", f"after {longer:,} readings; {spread(took_ms[2])}"
    yield Figure(what, ours, "ms", note, Limit(ours, STEP_MS_MAX, " ms"))
    yield Figure("  on the processor", median(on_cpu_ms), "ms", spread(on_cpu_ms))
    yield Figure("  the same", median(took_ms[1]), "ms", f"after {points:,} readings; {spread(took_ms[1])}")
    note = f"3 rules for all: the many take {ratio(took_ms[1], took_ms[0]):.1f} times as long"
    yield Figure("  the same points with few rules", median(took_ms[0]), "ms", note)
    for which in (young, old):
        _check_answer(which)
    for which in all_of_them:
        which.close()


def _check_answer(which: Installation) -> None:
    expected = raised_by_limits(which.round - 1, which.points)
    found = sum(which.excursions(f".{quantity}.") for quantity, *_ in KINDS)
    assert found == expected, f"{found} excursions, {expected} are in the readings"


def _numbers(configuration: Configuration) -> dict[str, int]:
    return {point.id: number for number, point in enumerate(configuration.facility.points)}


def _parsed(folder: Path) -> None:
    YAML(typ="safe", pure=True).compose(io.StringIO((folder / "rules.yaml").read_text("utf-8")))


def _cpu_s(act: Callable[[], object]) -> float:
    begun = time.process_time()
    act()
    return time.process_time() - begun


def _checked_s(folder: Path) -> tuple[float, float]:
    """`renrum check` as a process of its own: seconds of processor and of wall."""
    command = [sys.executable, "-c", "from service.cli import main; main()", "check", "--config", str(folder / "renrum.yaml")]
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, "the site is refused"
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun


def ruled_site(folder: Path, points: int) -> Configuration:
    """Write the plant's site with 30 rules a room in place of its own, and load it; the limits of `raised_by_limits` are among them."""
    site(folder, points)
    tagged(folder)
    (folder / "rules.yaml").write_text("rules:\n" + "".join(_room_rules(room) for room in range(-(-points // ROOM_POINTS))), "utf-8")
    return load_configuration(folder / "renrum.yaml", {})


def tagged(folder: Path) -> None:
    """Give every tenth point a tag, as a site marks what is critical."""
    for path in folder.glob("r*.csv"):
        header, *rows = path.read_text("utf-8").splitlines()
        marked = [f"{row},{'critical' if number % 10 == 0 else ''}" for number, row in enumerate(rows)]
        path.write_text("\n".join([f"{header},tags", *marked, ""]), "utf-8")


def _room_rules(room: int) -> str:
    """Three limits with two levels by quantity, 12 of single points, and every other kind by glob, tag and room."""
    name, first = f"r{room}", room * ROOM_POINTS
    rules = []
    for quantity, _, setpoint, noise, alert in KINDS:
        side = "above" if alert > 0 else "below"
        levels = f"levels: {{alert: {{{side}: {setpoint + alert}}}, action: {{{side}: {setpoint + 1.5 * alert}}}}}"
        delays = f"deadband: {noise}, on_delay: {DELAY_S}s, off_delay: {DELAY_S}s"
        select = f"select: {{room: {name}, quantity: {quantity}}}"
        rules.append(f"id: {name}.{quantity}, kind: limit, {select}, {levels}, {delays}")
    for number in range(first, first + 12):
        _, _, setpoint, _, alert = KINDS[number % len(KINDS)]
        side = "above" if alert > 0 else "below"
        rules.append(f"id: {name}.own{number}, kind: limit, select: {{point: {name}.p{number}}}, {side}: {setpoint + 3 * alert}")
    warm = KINDS[1][2] + KINDS[1][4]
    for decade in range(1, 4):
        select = f"select: {{point: '{name}.p{first // 10 + decade}?', quantity: temperature}}"
        rules.append(f"id: {name}.rise{decade}, kind: rate, {select}, change: 40, window: 5m")
        rules.append(f"id: {name}.again{decade}, kind: count, {select}, above: {warm}, k: 8, n: 10")
        rules.append(f"id: {name}.long{decade}, kind: mean, {select}, above: {warm}, window: 5m")
    rules.append(f"id: {name}.stuck, kind: flatline, select: {{room: {name}, tag: critical}}, duration: 10m")
    rules.append(
        f"id: {name}.wide, kind: limit, select: {{quantity: temperature, room: {name}, tag: crit*}}, while: in_operation, above: 100"
    )
    rules.append(f"id: {name}.door, kind: limit, select: {{room: {name}, quantity: differential_pressure}}, below: 1,"
                 f" unless: {{point: '{{room}}.p{first + 1}', above: 30}}")  # fmt: skip
    rules.append(f"id: {name}.grade, kind: rate, select: {{room: {name}, grade: C, quantity: relative_humidity}}, change: 90, window: 1m")
    rules.append(f"id: {name}.quiet, kind: stale, select: {{room: {name}}}, after: 60s")
    rules.append(f"id: {name}.faulty, kind: quality, select: {{room: {name}}}")
    assert len(rules) == ROOM_RULES, len(rules)
    return "".join(f"  - {{{rule}}}\n" for rule in rules)
