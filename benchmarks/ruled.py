"""A site of many points and many rules of mixed kinds: checked, read, laid over its points, and judged step by step."""

from __future__ import annotations

from pathlib import Path

from benchmarks.plant import DELAY_S, KINDS, ROOM_POINTS, site
from service.configuration import Configuration, load_configuration

ROOM_RULES = 30


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
    for decade in range(3):
        select = f"select: {{point: '{name}.p{first // 10 + decade}?', quantity: temperature}}"
        rules.append(f"id: {name}.rise{decade}, kind: rate, {select}, change: 40, window: 5m")
        rules.append(f"id: {name}.again{decade}, kind: count, {select}, above: 40, k: 8, n: 10")
        rules.append(f"id: {name}.long{decade}, kind: mean, {select}, above: 40, window: 5m")
    rules.append(f"id: {name}.stuck, kind: flatline, select: {{room: {name}, tag: critical}}, duration: 10m")
    rules.append(f"id: {name}.wide, kind: limit, select: {{room: {name}, tag: crit*}}, while: in_operation, above: 100, below: -100")
    rules.append(f"id: {name}.door, kind: limit, select: {{room: {name}, quantity: differential_pressure}}, below: 1,"
                 f" unless: {{point: '{{room}}.p{first + 1}', above: 30}}")  # fmt: skip
    rules.append(f"id: {name}.grade, kind: rate, select: {{room: {name}, grade: C, quantity: relative_humidity}}, change: 90, window: 1m")
    rules.append(f"id: {name}.quiet, kind: stale, select: {{room: {name}}}, after: 60s")
    rules.append(f"id: {name}.faulty, kind: quality, select: {{room: {name}}}")
    assert len(rules) == ROOM_RULES, len(rules)
    return "".join(f"  - {{{rule}}}\n" for rule in rules)
