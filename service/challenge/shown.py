"""The protocol for people: one page of HTML that needs nothing else, and PDF/A to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from facility.problems import so_many
from facility.times import parse_time
from service.challenge.protocol import ORDER

TIMES = ("raised", "ended", "cleared")


def html(protocol: Mapping[str, Any], digest: str) -> str:
    """The protocol as a page; `digest` is the SHA-256 of the JSON file."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_text("protocol.html"))
    return template.render(p=protocol, digest=digest, sections=_sections(protocol), order=ORDER, css=_text("protocol.css"))


def pdf(protocol: Mapping[str, Any], digest: str) -> bytes:
    """The protocol as PDF/A-2a, with the fonts in it: the same protocol gives the same bytes."""
    import typst  # large, and only this needs it

    shown = dict(protocol) | {"digest": digest, "sections": _sections(protocol), "order": list(ORDER)}
    shown.pop("outcomes")
    compiler = typst.Compiler(_text("protocol.typ").encode(), ignore_system_fonts=True, sys_inputs={"protocol": json.dumps(shown)})
    ended_s = parse_time(str(protocol["ended"])) // 10**9
    # PDF/A-2a is for archives; PDF/UA-1 asks for what a screen reader needs.
    made = compiler.compile(format="pdf", pdf_standards=["a-2a", "ua-1"], timestamp=ended_s)
    assert isinstance(made, bytes)
    return made


def _text(name: str) -> str:
    return (files("service.challenge") / name).read_text(encoding="utf-8")


def _sections(protocol: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each rule with its lines, expected and actual in words."""
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for outcome in protocol["outcomes"]:
        line = {
            "number": outcome["number"],
            "what": outcome["title"],
            "where": ", ".join(filter(None, (outcome["point"], outcome["occupancy"].replace("_", " ")))),
            "expected": [words(row) for row in outcome["expected"]],
            "actual": [words(row) for row in outcome["actual"]],
            "tested": outcome["result"] in ("PASS", "FAIL"),
            "result": outcome["result"],
            "why": [*filter(None, [outcome["reason"]]), *outcome["differences"]],
            "when": "" if outcome["first"] is None else f"{so_many(outcome['readings'], 'reading')} from {_brief(outcome['first'])[:23]}",
        }
        by_rule.setdefault(outcome["rule"], []).append(line)
    return [rule | {"lines": by_rule.get(rule["id"], [])} for rule in protocol["rules"]]


def words(row: Mapping[str, Any]) -> str:
    """An excursion in a line: its onset, and everything else as seen from there.

    >>> words({"onset": "2026-01-05T00:00:02.5Z", "raised": "2026-01-05T00:00:10.5Z", "ended": None, "peak": 11.9, "readings": 3})
    'onset 2026-01-05 00:00:02.5, raised +8 s, still open, peak 11.9, 3 readings'
    """
    try:
        onset = parse_time(str(row["onset"]))
    except ValueError:
        return ", ".join(f"{name} {value}" for name, value in row.items())
    found = [f"onset {_brief(str(row['onset']))}"]
    for name in TIMES:
        if row.get(name) is not None:
            found.append(f"{name} +{(parse_time(str(row[name])) - onset) / 1e9:.12g} s")
    if row.get("ended") is None:
        found.append("still open")
    found += [f"{name} {row[name]:.12g}" for name in ("peak", "limit") if row.get(name) is not None]
    if row.get("readings"):
        found.append(so_many(row["readings"], "reading"))
    return ", ".join(found)


def _brief(time: str) -> str:
    return time.replace("T", " ").removesuffix("Z")
