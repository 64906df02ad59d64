"""What `renrum doctor` looks at of the historian: whether InfluxDB takes what is written, how far it is, what it refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from facility.problems import so_many
from facility.times import format_time
from historian.progress import FILE, Progress, ProgressUnavailable
from historian.target import Target
from service.doctor.installation import Finding

LAG_NS = 600 * 10**9
"""More is to be looked at while InfluxDB can be reached."""
_PATIENCE_S = 5.0


def historian(target: Target | None, data_dir: Path, now_ns: int) -> Iterator[Finding]:
    """Nothing where no InfluxDB is configured; writes nothing to it."""
    if target is None:
        return
    from historian.influx import Influx, InfluxFault, InfluxMisconfigured  # half a second to load

    remedy = ""
    try:
        with Influx(target, patience_s=_PATIENCE_S) as influx:
            influx.write(b"")
    except InfluxFault as fault:
        remedy = "`renrum historian setup` tells what is missing, and makes it." if isinstance(fault, InfluxMisconfigured) else (
            "Start InfluxDB, or correct historian.influxdb.url; look for a firewall between. Nothing is lost meanwhile."
        )  # fmt: skip
        yield Finding("historian", "problem", str(fault), remedy)
    else:
        yield Finding("historian", "ok", f"{target.name} takes what is written")
    path = data_dir / FILE
    if path.is_file():
        yield from _progress(path, now_ns, behind_remedy="" if remedy else "Look at the service's log.")


def _progress(path: Path, now_ns: int, behind_remedy: str) -> Iterator[Finding]:
    try:
        with closing(Progress(path, readonly=True)) as progress:
            at, refused = int(progress.all().get("at", 0)), progress.refused()
    except ProgressUnavailable as error:
        yield Finding("historian", "warning", str(error), "It may be removed while the service is stopped: all is then written once more.")
        return
    words = f"it has the journal up to {format_time(at)}" if at else "nothing was written yet"
    late = now_ns - at > LAG_NS and bool(behind_remedy)
    yield Finding("historian", "warning" if late else "ok", words, behind_remedy if late else "")
    if refused:
        remedy = "`renrum historian status` shows them with its words; the journal has what they were made of."
        yield Finding("historian", "warning", f"{so_many(refused, 'line')} refused by InfluxDB", remedy)
