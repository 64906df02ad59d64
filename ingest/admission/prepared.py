"""A configuration as admission follows it, ready before it takes force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

from facility.own import without_own
from facility.site import Facility, Point
from facility.sources.source import Source
from ingest.decode import Decoder
from ingest.sparkplug.again import Again
from ingest.sparkplug.host import Host


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a configuration makes of messages: the decoder, one more for each readmission, points and their ids by number."""

    decoder: Decoder
    new_decoder: Callable[[], Decoder]
    host: Host | None
    points: dict[int, Point]
    ids: dict[int, str]

    @classmethod
    def of(
        cls,
        facility: Facility,
        number_of: Mapping[str, int],
        accept_simulated: bool,
        sources: Sequence[Source] = (),
        host: Host | None = None,
    ) -> Self:
        """With a `host` where a source speaks Sparkplug B."""
        measured = without_own(facility)
        again = Again(sources, measured, number_of) if host is not None else None
        return cls(
            decoder=Decoder(measured, number_of, accept_simulated, sources, host),
            new_decoder=partial(Decoder, measured, number_of, accept_simulated, sources, again),
            host=host,
            points={number_of[point.id]: point for point in facility.measured},
            ids={number: point for point, number in number_of.items()},
        )
