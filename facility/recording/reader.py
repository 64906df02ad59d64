"""Recording files as a stream of chunks, however large they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from facility.recording.assembly import Assembly
from facility.recording.chunk import Chunk, RecordingError
from facility.recording.mapping import TableMapping
from facility.recording.rows import in_order, mapped_rows, plain_rows
from facility.recording.table import Layout, Table, clear_errors

REQUIRED = ("time", "point", "value")
OPTIONAL = ("received", "quality", "unit", "value_text")


def read_recording(
    paths: Sequence[str | Path] | str | Path, mapping: TableMapping | None = None, zone: ZoneInfo | None = None
) -> Iterator[Chunk]:
    """Read recording files in the order given; times without offset are those of `zone`, the site's.

    Files are CSV (plain, gzip, xz) or Parquet with the columns time,point,value and optionally received,quality,unit, or any table that
    `mapping` explains. Every file is opened, and its columns are checked, before the first chunk. Nothing is dropped in silence: every
    row, and in a wide table every mapped cell, is a reading, a state, a reject, or counted in `without_value`.

    Raises RecordingError for a file that is missing, unreadable, damaged, or no recording.
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    tables = [Table(path, mapping.layout if mapping else Layout()) for path in files]
    wanted = [_wanted(table, mapping) for table in tables]
    return _chunks(tables, wanted, mapping, zone)


def _chunks(tables: list[Table], wanted: list[tuple[str, ...]], mapping: TableMapping | None, zone: ZoneInfo | None) -> Iterator[Chunk]:
    total = sum(table.bytes for table in tables) or 1
    before = 0
    assembly = Assembly()
    for table, columns in zip(tables, wanted, strict=True):
        blocks = table.blocks(columns)
        if mapping is not None and mapping.order == "time":
            blocks = in_order(blocks, mapping, zone)
        with clear_errors(str(table.path)):  # also of columns of a type that is no number, text or time
            for block in blocks:
                rows = plain_rows(block, zone) if mapping is None else mapped_rows(block, mapping, zone)
                yield assembly.chunk(str(table.path), rows, block.malformed, (before + block.read_bytes) / total)
        before += table.bytes


def _wanted(table: Table, mapping: TableMapping | None) -> tuple[str, ...]:
    """The columns to read; a RecordingError when one is not there, or there twice."""
    needed = REQUIRED if mapping is None else mapping.needed
    missing = [name for name in needed if name not in table.columns]
    if missing:
        have = ", ".join(repr(name) for name in table.columns[:40]) or "none"
        remedy = "Give a --mapping file that says which column is which." if mapping is None else "Correct the names in the mapping."
        raise RecordingError(str(table.path), f"has no column {', '.join(map(repr, missing))}; its columns are {have}", remedy)
    wanted = needed if mapping is not None else (*needed, *(name for name in OPTIONAL if name in table.columns))
    twice = [name for name in wanted if table.columns.count(name) > 1]
    if twice:
        raise RecordingError(str(table.path), f"has the column {twice[0]!r} more than once", "Rename one of the two in the file.")
    return wanted
