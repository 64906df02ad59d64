"""How the feed to InfluxDB fares, as one frozen value for health, metrics and `renrum historian status`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HistorianVitals:
    """A snapshot.

    `lag_s` is the age of the oldest journal entry that InfluxDB lacks, 0 when it lacks none. `written` lines, `refused` lines (kept in
    historian.db) and lines `beyond` what the bucket keeps count since the start of the service; `refusals` are all that are kept.
    `errors` counts writes that failed by kind (unavailable, misconfigured, own); `failure` says why nothing can be written now, empty when
    it can; `misconfigured` that it needs a person. `windows` are minutes and hours that are to be summed up.
    """

    target: str = ""
    lag_s: float = 0.0
    written: int = 0
    refused: int = 0
    refusals: int = 0
    beyond: int = 0
    errors: tuple[tuple[str, int], ...] = ()
    failure: str = ""
    misconfigured: bool = False
    windows: int = 0
    alive: bool = False
