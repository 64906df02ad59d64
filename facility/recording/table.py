"""Tables on disk, streamed: CSV (plain, gzip, xz) and Parquet as blocks of Arrow columns."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from facility.problems import so_many
from facility.recording.chunk import RecordingError

BLOCK_BYTES = 1 << 22
"""Text read at once: some 100,000 rows; a single row may not be longer."""
BATCH_ROWS = 1 << 17
_ENDINGS = {b"PAR1": "parquet", b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text table is cut into cells; `delimiter` is one character, or `whitespace` for runs of blanks and tabs."""

    delimiter: str = ","
    header: bool = True
    names: tuple[str, ...] = ()
    skip_lines: int = 0
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record whose number of cells is not that of the table."""

    row: int
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records: Arrow arrays by column name (text, or Parquet's own types), and their record numbers.

    `malformed` are the records among them that are not in the columns; `read_bytes` is how much of the file was read so far.
    """

    columns: dict[str, pa.Array]
    row: NDArray[np.int64]
    malformed: tuple[Malformed, ...]
    read_bytes: int


class Table:
    """One file, opened far enough to know its columns; `blocks` streams it.

    Raises RecordingError when the file is missing, unreadable, empty or of another kind.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self.bytes = 0
        with clear_errors(str(path)):
            self.bytes = path.stat().st_size
            self.kind = _kind_of(path)
            if self.kind == "zip":
                remedy = "Save the sheet as CSV, or unpack the archive, and give that file."
                raise RecordingError(str(path), "is a workbook or a zip archive", remedy)
            self.columns = self._parquet_names() if self.kind == "parquet" else self._text_names()

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """The wanted columns in file order; wholly blank lines are left out."""
        with clear_errors(str(self.path)):
            for block in self._parquet_blocks(wanted) if self.kind == "parquet" else self._text_blocks(wanted):
                yield _without_blank_lines(block)

    def _text_names(self) -> tuple[str, ...]:
        with open(self.path, "rb") as file:
            lines = io.TextIOWrapper(self._stream(file), encoding="utf-8", newline="")
            for _ in range(self.layout.skip_lines):
                lines.readline()
            first = next(csv.reader(lines, delimiter=_character(self.layout.delimiter)), None)
        if first is None:
            raise RecordingError(str(self.path), "is empty", "A recording starts with the header time,point,value.")
        if self.layout.header:
            return tuple(cell.strip() for cell in first)
        return self.layout.names or tuple(str(number) for number in range(1, len(first) + 1))

    def _text_blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        malformed: list[Malformed] = []

        def keep(record: Any) -> str:
            detail = f"has {so_many(record.actual_columns, 'cell')} where the table has {so_many(record.expected_columns, 'column')}"
            malformed.append(Malformed(record.number or 0, record.text, detail))
            return "skip"

        with open(self.path, "rb") as file:
            reader = pyarrow.csv.open_csv(self._stream(file), *self._options(wanted, keep))
            last = self.layout.skip_lines + self.layout.header
            for batch in reader:
                row, last = _numbers(batch.num_rows, last, malformed)
                known = _taken(malformed, last)
                yield Block(dict(zip(wanted, batch.columns, strict=True)), row, known, min(file.tell(), self.bytes))
            if malformed:
                yield Block({name: pa.nulls(0, pa.string()) for name in wanted}, np.empty(0, np.int64), tuple(malformed), self.bytes)

    def _stream(self, file: IO[bytes]) -> Any:
        stream = io.BufferedReader(_Pieces(_as_utf8(_decompressed(file, self.kind), _codec(self.layout.encoding))), BLOCK_BYTES)
        return io.BufferedReader(_Pieces(_single_tabs(stream)), BLOCK_BYTES) if self.layout.delimiter == "whitespace" else stream

    def _options(self, wanted: Sequence[str], invalid_row_handler: Any) -> tuple[Any, Any, Any]:
        # Repeated names make Arrow refuse the file; only wanted ones matter, and the reader checked that those are single.
        names = [name if self.columns.index(name) == index else f"{name} ({index + 1})" for index, name in enumerate(self.columns)]
        read = pyarrow.csv.ReadOptions(
            use_threads=False,  # with threads Arrow does not number malformed rows
            block_size=BLOCK_BYTES,
            skip_rows=self.layout.skip_lines + self.layout.header,
            column_names=names,
        )
        parse = pyarrow.csv.ParseOptions(
            delimiter=_character(self.layout.delimiter),
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=invalid_row_handler,
        )
        convert = pyarrow.csv.ConvertOptions(
            check_utf8=False,  # the stream is UTF-8 by now
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=list(wanted),
            strings_can_be_null=True,
            null_values=[""],
        )
        return read, parse, convert

    def _parquet_names(self) -> tuple[str, ...]:
        return tuple(pyarrow.parquet.read_schema(self.path).names)

    def _parquet_blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        with pyarrow.parquet.ParquetFile(self.path) as file:
            total, last = file.metadata.num_rows, 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(wanted)):
                row = np.arange(last + 1, last + 1 + batch.num_rows, dtype=np.int64)
                last += batch.num_rows
                yield Block({name: batch.column(name) for name in wanted}, row, (), self.bytes * last // total)


@contextmanager
def clear_errors(file: str) -> Iterator[None]:
    """Turns what a file system, a decompressor or Arrow says of a file into a RecordingError."""
    try:
        yield
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        problem = f"ends too early or is damaged ({error})"
        raise RecordingError(file, problem, "What came before was read; fetch a complete copy of the file.") from None
    except OSError as error:
        raise RecordingError(file, error.strerror or str(error), "Check the path and the permissions.") from None
    except (pa.ArrowException, csv.Error) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        remedy = "Give a CSV or Parquet file, or a --mapping for it."
        raise RecordingError(file, f"cannot be read as a table ({cause})", remedy) from None


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        taken = self._piece[: len(buffer)]
        buffer[: len(taken)] = taken
        self._piece = self._piece[len(taken) :]
        return len(taken)


def _as_utf8(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """The text of a file as UTF-8; bytes that mean nothing become U+FFFD and spoil the row where they stand, not the file."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while piece := file.read(BLOCK_BYTES):
        yield decoder.decode(piece).encode()
    yield decoder.decode(b"", True).encode()


def _single_tabs(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines with every run of blanks and tabs made one tab, and none at their ends."""
    while lines := stream.readlines(BLOCK_BYTES):
        yield b"".join(b"\t".join(line.split()) + b"\n" for line in lines)


def _kind_of(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(8)
    return next((kind for magic, kind in _ENDINGS.items() if start.startswith(magic)), "text")


def _decompressed(file: IO[bytes], kind: str) -> IO[bytes]:
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return lzma.LZMAFile(file) if kind == "xz" else file


def _codec(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig") else encoding


def _character(delimiter: str) -> str:
    return "\t" if delimiter in ("whitespace", "tab") else delimiter


def _numbers(count: int, last: int, malformed: Sequence[Malformed]) -> tuple[NDArray[np.int64], int]:
    """Record numbers of `count` sound rows after record `last`, passing over the malformed ones, and the last number used."""
    skipped: list[int] = []
    for record in malformed:
        if last < record.row <= last + count + len(skipped):
            skipped.append(record.row - last - 1)
    end = last + count + len(skipped)
    return np.delete(np.arange(last + 1, end + 1, dtype=np.int64), skipped), end


def _taken(malformed: list[Malformed], last: int) -> tuple[Malformed, ...]:
    """The malformed records up to number `last`, removed from the list (Arrow reads ahead of the rows it hands out)."""
    known = tuple(record for record in malformed if record.row <= last)
    del malformed[: len(known)]
    return known


def _without_blank_lines(block: Block) -> Block:
    columns = list(block.columns.values())
    if not columns or not all(column.null_count for column in columns):
        return block
    keep = ~np.logical_and.reduce([np.asarray(pc.is_null(column)) for column in columns])
    mask = pa.array(keep)
    return Block({name: column.filter(mask) for name, column in block.columns.items()}, block.row[keep], block.malformed, block.read_bytes)
