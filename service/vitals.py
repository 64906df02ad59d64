"""How the service fares, as one frozen value: what health and metrics are told of its threads and its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from ingest.intake import Intake, Sums
from service.receiving import BUCKETS_S, Receiver
from service.stepping import Stepper


@dataclass(frozen=True, slots=True)
class Vitals:
    """A snapshot.

    `sums` are a copy that nobody changes; `config` is the hash that judges, empty before the first. `commit_buckets` are (upper bound in
    seconds, commits at most that long), cumulative, of as many commits as `journal_commits` says. `heard_ns` is listening time,
    `step_ended_ns` the monotonic time of the last step that ended well (or of the start), in ns. The texts say what is wrong, empty when
    nothing is; `broker` is its address.
    """

    sums: Sums = field(default_factory=Sums)
    known_lost: int = 0
    config: str = ""
    journal_commits: int = 0
    commit_seconds: float = 0.0
    commit_buckets: tuple[tuple[float, int], ...] = ()
    journal_failure: str = ""
    ingest_alive: bool = False
    broker: str = ""
    link_up: bool = False
    drained: bool = False
    heard_ns: int = 0
    steps: int = 0
    step_duration_ns: int = 0
    step_lag_ns: int = 0
    step_ended_ns: int = 0
    step_failure: str = ""
    series_failure: str = ""


def vitals_of(receiver: Receiver, intake: Intake, stepper: Stepper, broker: str) -> Vitals:
    """How a running service fares; touches no disk and waits for nobody."""
    session, ingest, step = receiver.session, receiver.vitals, stepper.vitals
    epochs = stepper.ledger.judgement.epochs
    counts = list(accumulate(list(ingest.buckets)))
    return Vitals(
        sums=intake.sums,
        config=epochs[-1].plan.config if epochs else "",
        journal_commits=counts[-1],
        commit_seconds=ingest.commit_ns / 1e9,
        commit_buckets=tuple(zip(BUCKETS_S, counts, strict=False)),
        journal_failure=ingest.failure,
        ingest_alive=ingest.alive,
        broker=broker,
        link_up=session is not None and session.connected,
        drained=session is not None and session.drained,
        heard_ns=receiver.heard_ns(),
        steps=step.steps,
        step_duration_ns=step.duration_ns,
        step_lag_ns=step.lag_ns,
        step_ended_ns=step.ended_ns,
        step_failure=step.failure,
        series_failure=step.series_failure,
    )
