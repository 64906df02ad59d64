"""Writing the readings of a test, one stretch after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from facility.own import OWN
from service.challenge.meaning import due_of, is_bad
from service.challenge.origins import through_origins
from service.challenge.subject import NOT_APPLICABLE, NOT_TESTED, Gap, Sample, Subject, Trial

Made = Trial | Gap


@dataclass
class Script:
    """The readings of one test, from time 0 on; what is looked at begins at `since`, after those that bring the rule to rest."""

    subject: Subject
    now: int = 0
    since: int = 0
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = self.since = self.subject.spread  # what a first sum is of lies before it

    def run(self, value: float | Callable[[int], float], span: int = 0, quality: str = "", *, late: bool = False, step: int = 0) -> Script:
        """Readings from now to exactly `span` later, of a value, or of what it gives for 0, 1, …; the next ones follow after a pause."""
        count = self.subject.pauses(span, step) if span else 0
        for number in range(count + 1):
            at = self.now + (number * span // count if count else 0)
            self.samples.append(Sample(at, value(number) if callable(value) else value, quality, late))
        self.now += span
        return self.wait(self.subject.pause)

    def each(self, values: Sequence[float], quality: str = "", *, late: bool = False, step: int = 0) -> Script:
        """One reading of each value, a pause (or `step`) apart."""
        for value in values:
            self.samples.append(Sample(self.now, value, quality, late))
            self.wait(step or self.subject.pause)
        return self

    def beside(self, value: float, span: int, period: int) -> Script:
        """Readings of the point of `unless`, from now to `span` later, while the point under test goes on from now."""
        assert self.subject.other is not None
        for at in range(self.now, self.now + span + 1, period):
            self.samples.append(Sample(at, value, point=self.subject.other.id))
        return self

    def wait(self, span: int) -> Script:
        """Silence."""
        self.now += span
        return self

    def after(self, span: int) -> Script:
        """The next reading comes `span` after the last one."""
        self.now += span - self.subject.pause
        return self

    def begin(self) -> Script:
        """From here on the test is looked at."""
        self.since = self.now
        return self

    def made(self, case: str, title: str, excursions: int | None, *, bad: bool = False) -> Made:
        """The test, with so many excursions due by its design (None: as many as the text gives); a gap where it cannot be made so.

        Without `bad`, values outside the point's range are no test of the rule.
        """
        subject = self.subject
        outside = [one for one in self.samples if not one.point and one.quality != "bad" and is_bad(subject.point, one)]
        if outside and not bad:
            low, high = subject.point.range or (0.0, 0.0)
            reason = (
                f"{outside[0].value:g} lies outside the point's range [{low:g}, {high:g}]: it would be bad, and not judged by this rule"
            )
            return Gap(case, title, NOT_APPLICABLE, reason)
        if subject.point.id.startswith(OWN) and any(one.quality for one in self.samples):
            return Gap(case, title, NOT_APPLICABLE, "the service measures the point itself, and says of no reading that it is bad")
        samples = tuple(sorted(self.samples, key=lambda one: one.at))
        if subject.point.derived is not None:
            samples, refused = through_origins(subject, samples)
            if not samples:
                return Gap(case, title, *refused)
        due = due_of(subject, samples, self.since)
        if excursions is not None and len(due) != excursions:
            reason = f"no readings could be found for it: by the rule's text {len(due)} excursions come of those tried, not {excursions}"
            return Gap(case, title, NOT_TESTED, reason)
        return Trial(case, title, subject, samples, self.since, self.now, due)


def inapplicable(case: str, title: str, reason: str) -> Gap:
    return Gap(case, title, NOT_APPLICABLE, reason)
