"""Stories as recording files, and recordings judged offline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from alerts.judging import replay
from alerts.judging.replay import Replay
from facility.recording import read_recording, table
from facility.times import format_time
from ingest.admission.recorded import RecordedSums, Refused
from ingest.series import held as holding
from rules import copies
from rules.excursion import Excursion
from rules.plan import Plan, plan_of
from tests.support.admitted import Row
from tests.support.strategies import Story

COLUMNS = "time,point,value,received,quality"


@dataclass(frozen=True)
class Judged:
    """What a replay found, what became of the rows, and which were refused."""

    excursions: list[Excursion]
    sums: RecordedSums
    refused: list[Refused]


def line(row: Row) -> str:
    """A row as a line of a recording with the columns above."""
    value = "" if row.value is None else row.value if isinstance(row.value, str) else repr(row.value)
    received = "" if row.received is None else format_time(row.received)
    return f"{format_time(row.time)},{row.point},{value},{received},{row.quality or ''}"


def write(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("\n".join([COLUMNS, *map(line, rows)]) + "\n")
    return path


def plan(story: Story) -> Plan:
    numbers = {point.id: number for number, point in enumerate(story.facility.points)}
    return plan_of(story.facility, story.rules, story.tables, numbers, "hash")


def judge(plan: Plan, files: Sequence[Path]) -> Judged:
    refused: list[Refused] = []
    with TemporaryDirectory() as folder:
        replayed = Replay(plan, Path(folder), refused.append)
        with contextlib.closing(replayed):
            for chunk in read_recording(files):
                replayed.take(chunk)
            replayed.judge()
            return Judged(list(replayed.excursions()), replayed.sums, refused)


@contextlib.contextmanager
def cut_small(text_bytes: int, held: int, *, in_memory: int = 0) -> Iterator[None]:
    """Everything is read, held and judged in pieces so small that their borders matter; of more than `in_memory` readings on disk."""
    with (
        patch.object(table, "BLOCK_BYTES", text_bytes),
        patch.object(holding, "WRITE_AT", held),
        patch.object(holding, "HELD_ROWS", in_memory),
        patch.object(replay, "BATCH_ROWS", held),
        patch.object(copies, "PIECE_ROWS", held),
    ):
        yield
