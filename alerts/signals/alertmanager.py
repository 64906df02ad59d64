"""Alertmanager of Prometheus, by its API v2: alerts that fire while the condition lasts, and are resolved when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from alerts.channels.post import post
from alerts.signals.standing import Standing
from facility.secret import Secret
from facility.times import format_time

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
LASTS_NS = 5 * MINUTE_NS
"""An alert that nobody confirms any more is over for Alertmanager after that: rather too late than never."""


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Its address (without /api/v2/alerts); the token, if any, goes along as a bearer token.

    What fires is sent again every minute, since Alertmanager forgets when it starts. Of what it was shown and stands no more it is told
    that it is over.
    """

    url: str | Secret = field(repr=False)
    token: str | Secret | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    every_ns: int = MINUTE_NS
    _fired: dict[tuple[tuple[str, str], ...], tuple[int, dict[str, object]]] = field(default_factory=dict, repr=False, compare=False)

    def show(self, standing: Sequence[Standing], at: int) -> None:
        """Post what fires, and what does not any more."""
        now = {tuple(sorted(labels(one).items())): (one.onset, alert(one, at)) for one in standing if one.active}
        # An end that is not after the onset, of an instrument whose clock is ahead, it would not take for one.
        over = [
            gone | {"endsAt": format_time(max(at, onset + SECOND_NS))} for known, (onset, gone) in self._fired.items() if known not in now
        ]
        body = [alert for _, alert in now.values()] + over
        if not body:
            return
        post("alertmanager", self.url, "/api/v2/alerts", msgspec.json.encode(body), self.token, self.timeout_s)
        self._fired.clear()
        self._fired.update(now)


def labels(one: Standing) -> dict[str, str]:
    """What the alert is recognised by; an alarm that rises to another priority is another alert."""
    facts = one.page.facts
    found = {
        "alertname": one.rule,
        "alarm": one.alarm,
        "point": one.point,
        "room": one.room,
        "level": one.level,
        "severity": one.priority,
        "site": str(facts["site"]),
        "environment": str(facts["environment"]),
    }
    return {name: value for name, value in found.items() if value}


def alert(one: Standing, at: int) -> dict[str, object]:
    """An alert as the API takes it."""
    link = str(one.page.facts.get("link") or "")
    annotations = {"summary": one.page.subject, "description": one.page.text, "sop": str(one.page.facts.get("sop") or ""), "link": link}
    return {
        "labels": labels(one),
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": format_time(one.onset),
        "endsAt": format_time(at + LASTS_NS),
        "generatorURL": link,
    }
