"""Scores of the packs on the scenarios that ship: `python -m scripts.scores` writes docs/scores.md, its picture and README's table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from alerts.judging.replay import Replay
from facility.durations import parse_duration
from facility.files import Files
from facility.times import parse_time
from rules.excursion import Excursion
from rules.plan import Plan, plan_of
from service.configuration.judging_files import JudgingFiles
from service.score.picture import picture
from service.score.report import cells, false_alarms, missed
from simulators.cleanroom import Simulation
from simulators.record import recorded
from simulators.scenario import load_scenario
from simulators.score import WEEK_NS, Figures, Found, Run, by_kind, by_rule, overall, scored
from simulators.script import Truth

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "service" / "example"
START = "2026-01-05T00:00:00"
"""A Monday, local at the site."""
SEED = 4
DURATIONS = {
    "ahu-failure": "5h", "cryo-storage": "6h", "day": "24h", "demo": "3h", "door-propped": "3h", "filter-leak": "3h",
    "freezer-failure": "10h", "instrument-faults": "3h", "normal": "6h", "open-processing": "3h", "power-dip": "1h",
    "pressure-reversal": "3h", "smoke-test": "2h", "transmission-faults": "2h", "vhp-cleaning": "3h", "workday": "17h",
}  # fmt: skip
"""How long each scenario runs; storage-year takes months, and shows nothing else than these."""
PACKS = ("pack:annex1@1", "pack:storage@1", "pack:health@1")
LIMITS = """\
point,zone,room,type,grade,quantity,occupancy,level,below,above,basis
,,,room,,temperature,,alert,18.5,21.5,
,,,room,,temperature,,action,18,22,
,,,airlock,,temperature,,alert,18.5,21.5,
,,,airlock,,temperature,,action,18,22,
,,,room,,relative_humidity,,alert,35,55,
,,,room,,relative_humidity,,action,30,60,
,,,airlock,,relative_humidity,,alert,35,55,
,,,airlock,,relative_humidity,,action,30,60,
"""
"""What a site must say itself: the climate of its rooms, here as in the rules of the example."""


@dataclass(frozen=True)
class Scene:
    """A scenario that was simulated and judged."""

    name: str
    truths: tuple[Truth, ...]
    excursions: tuple[Excursion, ...]
    run: Run


def shipped_plan() -> Plan:
    """The packs laid over the example site."""
    files = Files(EXAMPLE, {"limits.csv": LIMITS})
    judging = JudgingFiles(files, facility="facility.yaml", rules=PACKS, limits="limits.csv").judging()
    return plan_of(judging.facility, judging.rules, judging.tables, {point.id: n for n, point in enumerate(judging.facility.points)})


def scene(name: str, plan: Plan, duration_ns: int) -> Scene:
    """Simulate a scenario, judge what was recorded, and hold it against the truth."""
    start_ns = parse_time(START, ZoneInfo(plan.facility.site.timezone))
    simulation = Simulation(plan.facility, load_scenario(name), SEED, start_ns)
    names = tuple(point.id for point in plan.facility.points)
    with TemporaryDirectory(prefix="renrum-scores-") as folder:
        replay = Replay(plan, Path(folder))
        try:
            for chunk in simulation.until(start_ns + duration_ns):
                replay.take(recorded(chunk, names))
            replay.judge()
            excursions = tuple(replay.excursions())
        finally:
            replay.close()
    truths = tuple(simulation.truth(start_ns + duration_ns))
    found = [Found(one.rule, one.point, one.onset, one.raised) for one in excursions]
    return Scene(name, truths, excursions, scored(truths, found, tuple(plan.rule_by_id), len(names) * duration_ns / WEEK_NS))


def scenes() -> list[Scene]:
    """All shipped scenarios that show what they have within a day."""
    plan = shipped_plan()
    return [scene(name, plan, parse_duration(duration).of(None)) for name, duration in DURATIONS.items()]


BEGIN, END = "<!-- scores: written by `make scores` -->", "<!-- end of scores -->"
PICTURE = "scores.svg"
WORDS = "The packs on the scenarios that ship"
HEADS = {
    "kind": ("fault", "faults", "found", "recall", "median delay", "95 %"),
    "rule": ("rule", "should find", "found", "recall", "median delay", "95 %", "right", "false", "precision", "false per point-week"),
}
FAMILIES = {
    "air and people": ("door_open", "supply_loss", "leak", "filter_leak", "intervention", "climate_loss", "vapour"),
    "storage": ("compressor_failure", "gas_loss", "fill_failure", "nitrogen_leak"),
    "instruments": ("fault", "stuck", "drift", "swap", "wrong_unit", "tube_off", "laser_fault"),
    "transmission": ("dropout", "reboot", "clock", "store_and_forward", "garble"),
}


def sentence(done: list[Scene]) -> str:
    """The sums in words."""
    sums = overall([one.run for one in done])
    row = dict(zip(("faults", "found", "recall", "median", "p95", "right", "false", "precision", "rate"), cells(sums), strict=True))
    return (
        f"{row['found']} of {row['faults']} faults are found ({row['recall']}), "
        f"half of them within {row['median']} and 95 % within {row['p95']}; "
        f"{row['right']} of {sums.right + (sums.false or 0)} excursions are right ({row['precision']}), "
        f"{row['rate']} false alarms per point and week."
    )


def table(head: tuple[str, ...], figures: Iterable[tuple[str, Figures]], *, plain: bool = False) -> Iterator[str]:
    """A table in Markdown with as many of the cells as the head has."""
    yield f"| {' | '.join(head)} |"
    yield f"|---{'|---:' * (len(head) - 1)}|"
    yield from (f"| {' | '.join((name if plain else f'`{name}`', *cells(one)[: len(head) - 1]))} |" for name, one in figures)


def misses(done: list[Scene]) -> Iterator[str]:
    """Each kind of fault that was missed, where, how often and why."""
    found = Counter(
        (one.name, fault.truth.kind, ", ".join(fault.truth.points[:2]), fault.truth.missed) for one in done for fault in missed([one.run])
    )
    for (name, kind, points, why), times in found.items():
        yield f"- `{kind}` in `{name}` ({points}{', …' if points.count(',') else ''}{f'; {times} times' if times > 1 else ''}): {why}."


def false_words(done: list[Scene]) -> Iterator[str]:
    """What was raised without a fault."""
    found = Counter((one.name, wrong.rule, wrong.point) for one in done for wrong in false_alarms([one.run]))
    yield from (f"- `{rule}` at `{point}` in `{name}`, {times} ×." for (name, rule, point), times in found.items())


def families(runs: list[Run]) -> Iterator[tuple[str, Figures]]:
    """The figures of each family of kinds, and of all."""
    kinds = by_kind(runs)
    for family, names in FAMILIES.items():
        some = [kinds[name] for name in names if name in kinds]
        delays = tuple(delay for one in some for delay in one.delays_ns)
        yield family, Figures(sum(one.faults for one in some), delays, sum(one.right for one in some))
    yield "all", overall(runs)


def readme(done: list[Scene]) -> str:
    """README's part, without the markers."""
    runs = [one.run for one in done]
    lines = [
        "",
        *table(("faults of", *HEADS["kind"][1:]), families(runs), plain=True),
        "",
        sentence(done),
        "",
        "Known misses:",
        "",
        *misses(done),
        "",
    ]
    return "\n".join(lines)


def page(done: list[Scene]) -> str:
    """docs/scores.md."""
    runs = [one.run for one in done]
    durations = ", ".join(f"`{name}` {duration}" for name, duration in DURATIONS.items())
    rules = ", ".join(f"`{pack}`" for pack in PACKS)
    return "\n".join(
        [
            "# How surely and how fast the packs find faults", "",
            f"The rules of {rules}, with limits for the climate of the rooms, on the example site, seed {SEED}: {durations}. "
            "`storage-year` is left out: it takes months. `make scores` writes this page; a test holds that it is what that writes. "
            "[simulator.md](simulator.md) says which excursion finds which fault.", "",
            sentence(done), "", f"![Faults found by kind, and what each rule raised]({PICTURE})", "",
            "## By kind of fault", "", *table(HEADS["kind"], by_kind(runs).items()), "",
            "## By rule", "", *table(HEADS["rule"], by_rule(runs).items()), "",
            "## Known misses", "", *misses(done), "",
            "## False alarms", "",
            "The example's counters report every 5 s, real ones every minute: in so little air, three people at work in grade B "
            "are now and then above 2,930 / m³ of 5 µm for some seconds.", "", *false_words(done), "",
        ]
    )  # fmt: skip


def placed(text: str, part: str) -> str:
    """A text with what stands between the markers replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


def main() -> None:
    """Write the page, the picture and README's part."""
    done = scenes()
    (ROOT / "docs" / "scores.md").write_text(page(done), "utf-8")
    (ROOT / "docs" / PICTURE).write_text(picture([one.run for one in done], WORDS), "utf-8")
    path = ROOT / "README.md"
    path.write_text(placed(path.read_text("utf-8"), readme(done)), "utf-8")


if __name__ == "__main__":
    main()
