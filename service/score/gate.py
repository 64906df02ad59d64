"""Floors and ceilings that scores must keep: what a build is refused for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from facility.document import did_you_mean, one_of
from facility.durations import parse_duration
from service.score.report import delay_text, rows
from simulators.score import Figures, Run

FLOORS = ("recall", "precision")
CEILINGS = ("delay_median", "delay_p95", "false_per_point_week")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a figure must at least be (a floor) or at most (a ceiling), of all or of one kind of fault or rule; delays in ns."""

    figure: str
    of: str
    value: float

    @classmethod
    def parsed(cls, text: str, figures: tuple[str, ...]) -> Demand:
        """`FIGURE=VALUE` or `FIGURE:KIND=VALUE`, KIND also a rule; raises ValueError with what is allowed."""
        name, equals, value = text.rpartition("=")
        figure, _, of = name.partition(":")
        if not equals or figure not in figures:
            raise ValueError(f"found {text!r}; allowed: {one_of([f'{one}[:KIND]=VALUE' for one in figures])}")
        try:
            number = parse_duration(value).of(None) if figure.startswith("delay") else float(value)
        except ValueError:
            raise ValueError(f"found {text!r}; allowed: {'a duration such as 90s' if figure.startswith('delay') else 'a number'}") from None
        return cls(figure, of, number)


def breaches(demands: Iterable[Demand], runs: Sequence[Run]) -> Iterator[str]:
    """A sentence for each demand that does not hold, also where there is nothing to measure; raises ValueError for an unknown name."""
    by_name = {name: figures for _, name, figures in rows(runs)}
    for demand in demands:
        if demand.of not in by_name:
            names = tuple(name for name in by_name if name)
            raise ValueError(f"found {demand.of!r}; allowed: {one_of(names)}. {did_you_mean(demand.of, names)}")
        value = _value(by_name[demand.of], demand.figure)
        of = f" of {demand.of}" if demand.of else ""
        if value is None:
            yield f"{demand.figure}{of}: there is nothing to measure"
        elif demand.figure in FLOORS and value < demand.value:
            yield f"{demand.figure}{of} is {value:.4g}, below the floor of {demand.value:.4g}"
        elif demand.figure in CEILINGS and value > demand.value:
            told, allowed = (delay_text(one) if demand.figure.startswith("delay") else f"{one:.4g}" for one in (value, demand.value))
            yield f"{demand.figure}{of} is {told}, above the ceiling of {allowed}"


def _value(figures: Figures, figure: str) -> float | None:
    value: float | None = getattr(figures, f"{figure}_ns" if figure.startswith("delay") else figure)
    return value
