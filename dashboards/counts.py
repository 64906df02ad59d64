"""What /metrics and the console tell of the pipeline itself, stage by stage, as frozen values; durations in seconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alerts.lifecycle.kpis import Kpis
from historian.vitals import HistorianVitals
from ingest.histogram import Distribution

_NONE = Distribution()


@dataclass(frozen=True, slots=True)
class Sums:
    """Conservation of readings: received = stored + duplicate + what lies in quarantine, which is `quarantined` less `readmitted`.

    `known_lost` are gaps in numbered sources, since the start.
    """

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    known_lost: int = 0
    readmitted: int = 0

    @property
    def quarantined_total(self) -> int:
        """What lies in quarantine now."""
        return sum(self.quarantined.values()) - self.readmitted

    @property
    def unaccounted(self) -> int:
        return self.received - self.stored - self.duplicate - self.quarantined_total

    @property
    def closes(self) -> bool:
        return self.unaccounted == 0


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """The link to the broker; `heard_s` is listening time, `events` counts what happened to it (ingest.mqtt.session.LinkEvent) by kind.

    `other_instance` says that another service listens for the same site.
    """

    up: bool = False
    drained: bool = False
    heard_s: float = 0.0
    other_instance: bool = False
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IngestCounts:
    """Since the start; `ages` are those of readings when they were stored, `batches` the time from read to durable."""

    messages: int = 0
    payload_bytes: int = 0
    ignored_keys: int = 0
    restarts: int = 0
    ages: Distribution = _NONE
    batches: Distribution = _NONE


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """`entries` since the journal began; `ahead_s` is how far its time is ahead of the clock."""

    entries: int = 0
    appends: Distribution = _NONE
    failures: int = 0
    ahead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Judging. `age_s` is the time since a step ended well, None before the first; `backlog` journal entries that no step has judged.

    `queue` is what the steps were asked for and have not taken up; `judged` and `excursions` count since the journal began; `tail` are
    readings that series.db does not have yet.
    """

    steps: int = 0
    failures: int = 0
    durations: Distribution = _NONE
    lag_s: float = 0.0
    age_s: float | None = None
    backlog: int = 0
    queue: int = 0
    judged: int = 0
    excursions: int = 0
    tail: int = 0


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """The outbox of one target: pages that wait, the age of the oldest, tries, and pages sent."""

    waiting: int = 0
    oldest_age_s: float = 0.0
    attempts: int = 0
    sent: int = 0

    @property
    def failures(self) -> int:
        return self.attempts - self.sent


@dataclass(frozen=True, slots=True)
class MachineCounts:
    """The disk of the data_dir and the clock (`clock_s` since 1970, `clock_steps` times it was moved); None where it cannot be told."""

    disk_free: int | None = None
    disk_size: int | None = None
    ballast: int | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    clock_s: float = 0.0
    clock_steps: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """A frozen snapshot. Counters of readings, entries, excursions and pages never fall while the journal lives; others begin at a start.

    `alarms` that are not done, by (priority, state), and `pages` by target are None while they cannot be read, as are `kpis`. `failing`
    and `threads` have every part and thread. `publish_to_page` is from the time of the reading that raised an alarm to its page's delivery.
    """

    sums: Sums = field(default_factory=Sums)
    config: str = ""
    failing: Mapping[str, bool] = field(default_factory=dict)
    threads: Mapping[str, bool] = field(default_factory=dict)
    link: LinkCounts = field(default_factory=LinkCounts)
    ingest: IngestCounts = field(default_factory=IngestCounts)
    journal: JournalCounts = field(default_factory=JournalCounts)
    steps: StepCounts = field(default_factory=StepCounts)
    points: Mapping[str, int] = field(default_factory=dict)
    excursions_open: Mapping[str, int] = field(default_factory=dict)
    alarms: Mapping[tuple[str, str], int] | None = None
    kpis: Kpis | None = None
    pages: Mapping[str, TargetCounts] | None = None
    publish_to_page: Distribution = _NONE
    historian: HistorianVitals | None = None
    machine: MachineCounts = field(default_factory=MachineCounts)

    @property
    def pages_pending(self) -> int:
        return sum(target.waiting for target in (self.pages or {}).values())

    @property
    def pages_sent(self) -> int:
        return sum(target.sent for target in (self.pages or {}).values())

    @property
    def pages_failed(self) -> int:
        return sum(target.failures for target in (self.pages or {}).values())
