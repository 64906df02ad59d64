"""Health in words: what is the case and, where something is wrong, what to do."""

from __future__ import annotations

from dashboards.views import Check, Health
from service.health.vitals import Vitals

SECOND_NS = 10**9
HISTORIAN_LAG_S = 600.0
STEP_AGE_NS = 30 * SECOND_NS
"""Younger than this a step is never too old, however short `evaluate_every` is."""


def health_of(vitals: Vitals, *, now_ns: int, evaluate_every_ns: int, config: str, console_failure: str = "", waiting: str = "") -> Health:
    """The checks; `now_ns` is monotonic, `config` the hash of what should judge.

    `console_failure` says why pages may be old, `waiting` which files are not in force.
    """
    alive = (_judgement(vitals, now_ns, evaluate_every_ns), _ingest(vitals), _journal(vitals))
    ready = (
        _series(vitals), _instance(vitals), _broker(vitals), _caught_up(vitals), _configuration(vitals, config, waiting),
        _console(console_failure), *_historian(vitals), *_unshown(vitals),
    )  # fmt: skip
    return Health(alive, ready)


def _judgement(vitals: Vitals, now_ns: int, evaluate_every_ns: int) -> Check:
    age_ns = max(0, now_ns - vitals.step_ended_ns)
    failing = f", the last one failed: {vitals.step_failure}" if vitals.step_failure else ""
    if age_ns <= max(3 * evaluate_every_ns, STEP_AGE_NS):
        return Check("judgement", True, f"last step {age_ns / SECOND_NS:.1f} s ago{failing}")
    do = "look at that disk" if vitals.step_failure else "look at the log and restart the service"
    words = f"no step for {age_ns // SECOND_NS} s{failing}: readings are stored, but no alarm is raised; {do}"
    return Check("judgement", False, words)


def _ingest(vitals: Vitals) -> Check:
    if vitals.ingest_alive:
        return Check("ingest", True, "running")
    return Check("ingest", False, "stopped: nothing is received, the broker queues; restart the service")


def _journal(vitals: Vitals) -> Check:
    if not vitals.journal_failure:
        return Check("journal", True, "can be written")
    words = f"{vitals.journal_failure}: nothing is acknowledged, the broker queues; free space on its disk, or repair it"
    return Check("journal", False, words)


def _series(vitals: Vitals) -> Check:
    if not vitals.series_failure:
        return Check("series", True, "can be written")
    words = f"{vitals.series_failure}: readings are stored and judged, but what is not written stays in memory; repair that disk or file"
    return Check("series", False, words)


def _instance(vitals: Vitals) -> Check:
    return Check("instance", not vitals.link.other_instance, vitals.instance)


def _broker(vitals: Vitals) -> Check:
    at = f" to {vitals.broker}" if vitals.broker else ""
    if vitals.link.up:
        return Check("broker", True, f"connected{at}")
    return Check("broker", False, f"not connected{at}: is it running, are address and password right? The log says why")


def _caught_up(vitals: Vitals) -> Check:
    if vitals.link.drained:
        return Check("backlog", True, "what the broker had queued is received")
    why = "the broker still sends what it had queued; wait" if vitals.link.up else "unknown until the broker is connected"
    return Check("backlog", False, f"{why}. Until then silence of an instrument is not noticed")


def _configuration(vitals: Vitals, config: str, waiting: str) -> Check:
    if vitals.config == config:
        return Check("configuration", True, f"{config[:12]} is in force{f'; {waiting}' if waiting else ''}", bool(waiting))
    found = f"{vitals.config[:12]} judges, not" if vitals.config else "nothing judges yet, not even"
    return Check("configuration", False, f"{found} {config[:12]}: the first step puts it in force; if this stays, look at the log")


def _historian(vitals: Vitals) -> tuple[Check, ...]:
    """Only where one is configured; that it is away for a while is no fault of the service."""
    historian = vitals.historian
    if historian is None:
        return ()
    if not historian.failure:
        return (Check("historian", True, f"{historian.target} takes what is written"),)
    do = "alarms go on without it, and nothing is lost; `renrum doctor` says what to mend"
    return (Check("historian", not historian.misconfigured and historian.lag_s < HISTORIAN_LAG_S, f"{historian.failure}; {do}"),)


def _unshown(vitals: Vitals) -> tuple[Check, ...]:
    """Those that fail; none of them stops a page."""
    return tuple(Check(name, False, f"{why}; pages go on without it") for name, why in vitals.unshown.items())


def _console(failure: str) -> Check:
    if not failure:
        return Check("console", True, "up to date")
    return Check("console", False, f"may show old values, judging goes on: {failure}; restart the service when it suits")
