"""`renrum replay --from-influx`: where its readings come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from facility.recording import Chunk, RecordingError
from facility.site import Facility
from facility.times import format_time
from historian.influx import Influx, InfluxFault
from historian.source import InfluxRecording
from service.cli.historian import settings_of
from service.cli.lookups import time_of
from service.cli.options import Refusal
from service.clock import SystemClock


def influx_reader(config: Path | None, facility: Facility, start: str | None, end: str | None) -> Callable[[], Iterator[Chunk]]:
    """What reads the period; raises Refusal for a period that cannot be meant. What it gives raises RecordingError."""
    _, target = settings_of(config)
    zone = ZoneInfo(facility.site.timezone)
    if start is None:
        raise Refusal("--from-influx: give --start TIME, and --end TIME unless it is now.")
    first = time_of("--start", start, zone)
    last = SystemClock().now_ns() if end is None else time_of("--end", end, zone)
    if first >= last:
        raise Refusal(f"--start {format_time(first)} is not before --end {format_time(last)}.")
    ahead_ns = max((point.max_ahead_ns for point in facility.points), default=0)

    def chunks() -> Iterator[Chunk]:
        try:
            with Influx(target, reading=True) as influx:
                yield from InfluxRecording(influx, facility.site.id, first, last, ahead_ns).chunks()
        except InfluxFault as fault:
            raise RecordingError(target.name, str(fault), "Nothing was judged; run it again when that is mended.") from None

    return chunks
