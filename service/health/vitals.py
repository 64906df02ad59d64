"""How the service fares, as one frozen value: what health and metrics are told of its threads and its journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dashboards.counts import IngestCounts, JournalCounts, LinkCounts, StepCounts
from historian.vitals import HistorianVitals
from ingest.admission.intake import Intake, Sums
from ingest.histogram import Distribution
from service.clock import Clock
from service.continuity.guard import SECOND, TWO, Guard
from service.health.timing import TimedJournal
from service.receiving import Receiver
from service.stepping import Stepper

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Vitals:
    """A snapshot.

    `sums` are a copy that nobody changes; `config` is the hash that judges, empty before the first. `step_ended_ns` is the monotonic time
    of the last step that ended well (or of the start), in ns. The texts say what is wrong, empty when nothing is; `broker` is its address.
    `threads` tells of each whether it lives; `historian` is None where there is none. `unshown` are signals
    that do not take what they are shown, and the mailbox of replies if it cannot be looked into, each with the reason.
    """

    sums: Sums = field(default_factory=Sums)
    known_lost: int = 0
    config: str = ""
    broker: str = ""
    ingest_alive: bool = False
    link: LinkCounts = field(default_factory=LinkCounts)
    ingest: IngestCounts = field(default_factory=IngestCounts)
    journal: JournalCounts = field(default_factory=JournalCounts)
    steps: StepCounts = field(default_factory=StepCounts)
    step_ended_ns: int = 0
    clock_steps: int = 0
    threads: Mapping[str, bool] = field(default_factory=dict)
    publish_to_page: Distribution = field(default_factory=Distribution)
    historian: HistorianVitals | None = None
    unshown: Mapping[str, str] = field(default_factory=dict)
    instance: str = "no other instance lives"
    journal_failure: str = ""
    step_failure: str = ""
    series_failure: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running service that tell how they fare; `stamp_ns` is the journal's time."""

    clock: Clock
    stamp_ns: Callable[[], int]
    journal: TimedJournal
    receiver: Receiver
    intake: Intake
    stepper: Stepper
    guard: Guard

    def vitals(self, broker: str, threads: Mapping[str, bool], publish_to_page: Distribution, historian: HistorianVitals | None) -> Vitals:
        """A snapshot; touches no disk and waits for nobody."""
        epochs, step = self.stepper.ledger.judgement.epochs, self.stepper.vitals
        return Vitals(
            sums=self.intake.sums,
            known_lost=self.intake.known_lost,
            config=epochs[-1].plan.config if epochs else "",
            broker=broker,
            ingest_alive=self.receiver.vitals.alive,
            link=self._link(),
            ingest=self._ingest(),
            journal=self._journal(),
            steps=self._steps(),
            step_ended_ns=step.ended_ns,
            clock_steps=step.clock_steps,
            threads=threads,
            publish_to_page=publish_to_page,
            historian=historian,
            instance=self.guard.words,
            journal_failure=self.receiver.vitals.failure,
            step_failure=step.failure,
            series_failure=step.series_failure,
        )

    def _link(self) -> LinkCounts:
        session = self.receiver.session
        return LinkCounts(
            up=session is not None and session.connected,
            drained=session is not None and session.drained,
            heard_s=self.receiver.heard_ns() / SECOND_NS,
            events=dict(self.receiver.vitals.events),
            other_instance=self.guard.state in (SECOND, TWO),
        )

    def _ingest(self) -> IngestCounts:
        tally, vitals = self.intake.tally, self.receiver.vitals
        return IngestCounts(
            tally.messages, tally.payload_bytes, tally.ignored_keys, vitals.restarts, tally.ages.now(), vitals.batches.now()
        )

    def _journal(self) -> JournalCounts:
        ahead_ns = max(0, self.stamp_ns() - self.clock.now_ns())
        return JournalCounts(self.journal.head.seq, self.journal.appends.now(), self.journal.failures, ahead_ns / SECOND_NS)

    def _steps(self) -> StepCounts:
        stepper, vitals = self.stepper, self.stepper.vitals
        return StepCounts(
            steps=vitals.steps,
            failures=vitals.failures,
            durations=vitals.durations.now(),
            lag_s=vitals.lag_ns / SECOND_NS,
            backlog=max(0, self.journal.head.seq - stepper.ledger.cursor),
            queue=stepper.queued,
            judged=stepper.ledger.sums.stored,
            excursions=stepper.ledger.issued,
            tail=stepper.tail,
        )
