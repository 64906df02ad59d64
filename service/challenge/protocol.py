"""The OQ protocol as one document: what was challenged, how, with which results; HTML, PDF and JSON show the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facility.durations import Duration
from facility.problems import so_many
from facility.times import format_time
from rules.rule import Bound, Rule
from service.challenge.ahead import SPEED
from service.challenge.compared import COLUMNS
from service.challenge.conduct import Chosen, Record, counted
from service.challenge.requirements import Requirement, result_of, traced, untraced_rules
from service.challenge.silence import FASTEST
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Outcome
from service.configuration.configuration import Configuration

FORMAT = 1
ORDER = (FAIL, NOT_TESTED, PASS, NOT_APPLICABLE)


@dataclass(frozen=True)
class Circumstances:
    """What stands on the first page beside the results; `program` and `files` are names with versions or hashes."""

    title: str
    actor: str
    program: Mapping[str, str]
    files: Mapping[str, str]
    source: str
    sample: int | None
    tolerance_ns: int
    kept: str = ""


def document(
    configuration: Configuration, record: Record, circumstances: Circumstances, requirements: Sequence[Requirement] | None
) -> dict[str, Any]:
    """The protocol, JSON-able."""
    outcomes = record.outcomes
    counts = counted(outcomes)
    failed = counts[FAIL] or record.lost or record.config != configuration.judging_hash
    verdict = FAIL if failed else NOT_TESTED if counts[NOT_TESTED] else PASS if counts[PASS] else NOT_APPLICABLE
    site = configuration.facility.site
    return {
        "format": FORMAT,
        "title": circumstances.title,
        "site": {"id": site.id, "name": site.name},
        "verdict": verdict,
        "counts": counts,
        "partial": _partial(configuration, record, circumstances),
        "begun": format_time(record.begun),
        "ended": format_time(record.ended),
        "lasted_s": round((record.ended - record.begun) / 1e9, 1),
        "actor": circumstances.actor,
        "configuration": {
            "source": circumstances.source,
            "environment": configuration.settings.environment,
            "hash": configuration.judging_hash,
            "challenged_hash": record.config,
            "files": dict(circumstances.files),
        },
        "program": dict(circumstances.program),
        "instance": {
            "broker": record.broker,
            "readings_sent": record.sent,
            "readings_lost": record.lost,
            "pages": record.pages,
            "other_pages": list(record.strangers),
            "first_reading": None if record.span is None else format_time(record.span[0]),
            "last_reading": None if record.span is None else format_time(record.span[1]),
            "journal_entries": record.journal[0],
            "journal_head": record.journal[1],
            "kept": circumstances.kept,
        },
        "method": _method(record, circumstances),
        "not_covered": _not_covered(configuration),
        "rules": [_rule(one, outcomes) for one in record.chosen],
        "requirements": None if requirements is None else _requirements(requirements, configuration.rules, outcomes),
        "outcomes": [_outcome(number, outcome) for number, outcome in enumerate(outcomes, 1)],
        "columns": list(COLUMNS),
    }


def _partial(configuration: Configuration, record: Record, circumstances: Circumstances) -> str:
    """What was left out by choice; empty for nothing."""
    left = len(configuration.rules) - len(record.chosen)
    words = [f"{len(record.chosen)} of {so_many(len(configuration.rules), 'rule')} chosen"] if left else []
    some = sum(len(one.points) < len(one.selected) for one in record.chosen)
    words += [f"{some} rules were challenged at {circumstances.sample} of their points only"] if some else []
    return "; ".join(words)


def _method(record: Record, circumstances: Circumstances) -> list[str]:
    """How it was done, for people who must judge whether it proves anything."""
    sample = "every point that a rule selects" if circumstances.sample is None else f"at most {circumstances.sample} points per rule"
    return [
        "An instance of the service of its own was started on this machine with the configuration named above: its own temporary folder, "
        f"its own broker ({record.broker}) on the loopback interface, its own journal, and a local file as the only recipient. The running "
        "system, its broker, its recipients, console and historian were not used. Its environment is validation.",
        f"Driven: {sample}. Readings were published to the broker and went the whole way: broker, ingest, journal, rules, alarms, pages.",
        "A point that is computed of others was driven through these. What the service measures of itself nobody may publish: for $ points "
        "readings were put into the journal by the code that puts the measured ones there, and the instance measured nothing itself.",
        "What had to come was computed from the text of each rule by a program that shares nothing with the engine that judges: it is what "
        "docs/rules.md says of the readings that were sent. A test passes when exactly the excursions that had to come are there, each "
        "equal in onset, raised, ended, cleared, peak, limit and number of readings, and when a page of each lies in the recipient's file.",
        f"Delays: tests stay {circumstances.tolerance_ns / 1e9:g} s (or half of a shorter delay) from each delay, and lie exactly on it. "
        "Values: one resolution of the point below, at and above each limit; where the point declares none, a thousandth of the limit.",
        "Compressed time: rules are judged on the times that readings carry. These lie in the past, and were published as fast as "
        "the broker takes them; delays and windows are therefore whole, and waiting is not. Readings of a long stretch stand further apart "
        "than the point's period, never further than max_gap.",
        "Hastened time: silence and clocks that are ahead are judged on arrival. For these tests the instance's clock (wall and monotonic) "
        f"ran up to {FASTEST:g} (silence) and {SPEED:g} (clocks ahead) times as fast as the machine's. Moments of arrival are those of the "
        "instance's journal; a silence counts as raised in time within a quarter of a second of the machine's time.",
        "Late arrival: readings marked late were published when everything else was received, judged and told of.",
    ]


def _not_covered(configuration: Configuration) -> list[str]:
    found = [
        "Instruments, gateways, the site's broker and network, recipients and their delivery: challenge them on site.",
        "The storing of readings by the historian, and the dashboards.",
        "That limits, delays and the selection of points are the right ones for the site: that is what the trace to requirements is for.",
    ]
    if configuration.settings.sources:
        found.append("The mapping of foreign payloads (sources.yaml): readings were published in the service's own format.")
    return found


def _rule(one: Chosen, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    lines = [outcome for outcome in outcomes if outcome.rule == one.rule.id]
    counts = counted(lines)
    return {
        "id": one.rule.id,
        "kind": one.rule.kind,
        "level": one.rule.level,
        "priority": one.rule.priority,
        "pack": one.rule.pack,
        "says": spoken(one.rule),
        "selected": len(one.selected),
        "challenged": len(one.points),
        "points": [point.id for point in one.points],
        "counts": counts,
        "result": result_of(counts),
    }


def spoken(rule: Rule) -> str:
    """The rule's parameters in a line."""
    found = []
    for name in ("above", "below", "change", "window", "duration", "tolerance", "k", "n", "min_readings", "after", "deadband"):
        value = getattr(rule, name)
        if isinstance(value, Bound):
            shown = value.value if isinstance(value.value, str) else f"{value.value:g}"
            found.append(f"{'at or ' if value.inclusive else ''}{name} {shown}")
        elif value and not (name == "min_readings" and value == 1):
            found.append(f"{name} {value}")
    for name in ("on_delay", "off_delay", "max_gap"):
        value = getattr(rule, name)
        if value is not None and value != Duration():
            found.append(f"{name} {value}")
    if rule.during:
        found.append(f"while {', '.join(rule.during)}")
    if rule.unless is not None:
        found.append(f"unless {rule.unless.point}")
    return ", ".join(found) or "no parameters"


def _requirements(requirements: Sequence[Requirement], rules: Sequence[Rule], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    numbers: dict[str, list[int]] = {}
    for number, outcome in enumerate(outcomes, 1):
        numbers.setdefault(outcome.rule, []).append(number)
    lines = [
        {
            "id": one.requirement.id,
            "text": one.requirement.text,
            "globs": list(one.requirement.rules),
            "rules": [{"id": rule, "tests": _spans(numbers.get(rule, []))} for rule in one.rules],
            "counts": dict(one.counts),
            "result": one.result,
        }
        for one in traced(requirements, rules, outcomes)
    ]
    return {
        "lines": lines,
        "untraced": [line["id"] for line in lines if not line["rules"]],
        "rules_untraced": untraced_rules(requirements, rules),
    }


def _spans(numbers: Sequence[int]) -> str:
    """The lines of a rule, which stand together: `12 to 48`."""
    return "" if not numbers else str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _outcome(number: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "number": number,
        "rule": outcome.rule,
        "point": outcome.point,
        "case": outcome.case,
        "title": outcome.title,
        "occupancy": outcome.state,
        "result": outcome.status,
        "reason": outcome.reason,
        "expected": list(outcome.expected),
        "actual": list(outcome.actual),
        "differences": list(outcome.differences),
        "readings": outcome.readings,
        "first": None if outcome.span is None else format_time(outcome.span[0]),
        "last": None if outcome.span is None else format_time(outcome.span[1]),
    }
