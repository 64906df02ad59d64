"""The pages of journal.db byte by byte, by SQLite's published file format (sqlite.org/fileformat2.html).

SQLite passes over bytes that mean nothing to it. Here each byte either has its one meaning and spelling or is zero, so that none can change
unseen. That holds for what only grows and is written with `secure_delete`: no free pages, no left-overs.

One exception: where SQLite divides an interior page in two, old cells stay behind in the room between its cell pointers and its cells. That
begins with the third level of a table's tree, at some 2 MB. Such pages are gathered in `divided`: only their digest can tell.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Protocol

from ingest.journal.flaw import Flaw, Flaws, Progress, unwatched

MAGIC = b"SQLite format 3\0"
HEADER = 100
INTERIOR, LEAF = 5, 13
LOCK_BYTE = 1 << 30
"""The page with this byte is never used."""


class Pages(Protocol):
    """A database's pages, numbered from 1; `size` in bytes, `count` of them."""

    size: int
    count: int

    def page(self, number: int) -> bytes: ...
    def place(self, number: int) -> tuple[str, int]: ...


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The big-endian variable-length integer at `at`, and where it ends; IndexError past the end."""
    value = 0
    for end in range(at + 1, at + 9):
        byte = data[end - 1]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, end
    return value << 8 | data[at + 8], at + 9


def spelt(value: int) -> int:
    """How many bytes a variable-length integer needs.

    >>> [spelt(n) for n in (0, 127, 128, 1 << 56)]
    [1, 1, 2, 9]
    """
    return min(9, max(1, -(-value.bit_length() // 7)))


def misspelt_record(local: bytes, total: int) -> str:
    """Why a record of `total` bytes, which begins with `local`, is not written as SQLite writes it; empty when it is."""
    try:
        header, at = varint(local, 0)
        body = header
        widths_end = at == spelt(header)
        while at < header:
            serial, end = varint(local, at)
            widths_end &= end - at == spelt(serial)
            at = end
            width = (serial - 12) // 2 if serial >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, -1, -1)[serial]
            if width < 0:
                return f"no column has the serial type {serial}"
            if 1 <= serial <= 6 and _shorter(int.from_bytes(local[body : body + width], "big", signed=True), width):
                return "an integer is written longer than it is"
            body += width
    except IndexError:
        return "the record breaks off"
    if at != header or not widths_end:
        return "the record's header is misspelt"
    return "" if body == total else f"the columns have {body} bytes, the record {total}"


def sequence_row(table: str, last: int) -> bytes:
    """The cell of a table's row in sqlite_sequence, where it is the only one: `last` is the highest row id ever given, at least 2."""
    width = next(width for width in (1, 2, 3, 4, 6, 8) if not last >> 8 * width - 1)
    record = bytes([3, 13 + 2 * len(table), {1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 8: 6}[width]]) + table.encode() + last.to_bytes(width, "big")
    return bytes([len(record), 1]) + record


def _shorter(value: int, width: int) -> bool:
    if value in (0, 1):
        return True
    less = {1: 0, 2: 1, 3: 2, 4: 3, 6: 4, 8: 6}[width]
    return less > 0 and -(1 << (8 * less - 1)) <= value < 1 << (8 * less - 1)


class Walk:
    """Visits every page of a database that has tables only; what is wrong goes to `flaws`, the highest row id of each root to `last`."""

    def __init__(self, pages: Pages, flaws: Flaws, progress: Progress = unwatched) -> None:
        self.pages = pages
        self.flaws = flaws
        self._progress = progress
        self._reached = bytearray(pages.count + 1)
        self._interior: list[tuple[int, bytes, int, int]] = []
        self.divided: dict[int, int] = {}
        """The pages in which old cells may have stayed behind, and how many bytes."""
        self.last: dict[int, int | None] = {}
        self.visited = 0

    def visit(self, roots: Iterable[int]) -> None:
        """Walk the schema and the tables with these root pages, then see that no page is left."""
        for root in (1, *roots):
            self.last[root] = self._tree(root)
            if len(self._interior) == 1:  # never divided
                self._zero(*self._interior[0])
            else:
                self.divided |= {number: end - start for number, _, start, end in self._interior}
            self._interior = []
        lock = LOCK_BYTE // self.pages.size + 1
        for number in range(1, self.pages.count + 1):
            if not self._reached[number]:
                if number == lock:
                    self._zero(number, self.pages.page(number), 0, self.pages.size)
                else:
                    self._flaw(number, 0, "the page belongs to no table")

    def _flaw(self, number: int, offset: int, what: str) -> None:
        file, start = self.pages.place(number)
        self.flaws.add(Flaw(what, file=file, page=number, offset=start + offset))

    def _take(self, number: int, by: int, offset: int) -> bytes | None:
        """A page that `offset` in page `by` leads to; each can be led to once."""
        if not 1 <= number <= self.pages.count:
            self._flaw(by, offset, f"leads to page {number}, which is not there")
        elif self._reached[number]:
            self._flaw(by, offset, f"leads to page {number}, as another page does")
        else:
            self._reached[number] = 1
            self.visited += 1
            if self.visited % 1024 == 0:
                self._progress(self.visited, self.pages.count)
            return self.pages.page(number)
        return None

    def _zero(self, number: int, page: bytes, start: int, end: int) -> None:
        rest = page[start:end].lstrip(b"\0")
        if rest:
            self._flaw(number, end - len(rest), f"{rest[0]:#04x} where nothing is stored, expected 0")

    def _tree(self, number: int, by: int = 1, offset: int = 0, after: int | None = None) -> int | None:
        """Visit a b-tree page and all below it; row ids must be above `after`. Returns the highest row id."""
        page = self._take(number, by, offset)
        if page is None:
            return after
        base = HEADER if number == 1 else 0
        kind = page[base]
        if kind not in (INTERIOR, LEAF):
            self._flaw(number, base, f"page type {kind}, expected {INTERIOR} or {LEAF}")
            return after
        count = int.from_bytes(page[base + 3 : base + 5], "big")
        head = base + (8 if kind == LEAF else 12)
        if head + 2 * count > len(page):
            self._flaw(number, base + 3, f"{count} cells are too many for a page")
            return after
        pointers = struct.unpack_from(f">{count}H", page, head)
        used = []
        for position, start in enumerate(pointers):
            try:
                end, after = (self._row if kind == LEAF else self._child)(number, page, start, after)
            except IndexError:
                self._flaw(number, head + 2 * position, f"the cell at {start} breaks off")
                return after
            used.append((start, end))
        if kind == INTERIOR:
            after = self._tree(int.from_bytes(page[base + 8 : base + 12], "big"), number, base + 8, after)
        self._space(number, page, base, head + 2 * count, used)
        return after

    def _row(self, number: int, page: bytes, start: int, after: int | None) -> tuple[int, int | None]:
        """A row in a leaf: its size, its id, its record, of which the end may lie in other pages."""
        size, at = varint(page, start)
        row, content = varint(page, at)
        if at - start != spelt(size) or content - at != spelt(row):
            self._flaw(number, start, "a number is misspelt")
        if after is not None and row <= after:
            self._flaw(number, at, f"row {row} after row {after}")
        local = self._local(size)
        end = content + local + (4 if local < size else 0)
        if end > len(page):
            raise IndexError
        if wrong := misspelt_record(page[content : content + local], size):
            self._flaw(number, content, wrong)
        if local < size:
            self._overflow(number, end - 4, int.from_bytes(page[end - 4 : end], "big"), size - local)
        return max(end, start + 4), row

    def _child(self, number: int, page: bytes, start: int, after: int | None) -> tuple[int, int | None]:
        """A cell of an interior page: a page below and the highest row id there."""
        key, end = varint(page, start + 4)
        highest = self._tree(int.from_bytes(page[start : start + 4], "big"), number, start, after)
        if highest != key or end - start - 4 != spelt(key):
            self._flaw(number, start + 4, f"row {key} is said to be the last below, found {highest}")
        return end, highest

    def _local(self, size: int) -> int:
        """How much of a record of `size` bytes lies in its leaf."""
        most, least = self.pages.size - 35, (self.pages.size - 12) * 32 // 255 - 23
        if size <= most:
            return size
        fitting = least + (size - least) % (self.pages.size - 4)
        return fitting if fitting <= most else least

    def _overflow(self, by: int, offset: int, number: int, left: int) -> None:
        while left > 0:
            page = self._take(number, by, offset)
            if page is None:
                return
            here = min(left, len(page) - 4)
            left -= here
            self._zero(number, page, 4 + here, len(page))
            by, offset, number = number, 0, int.from_bytes(page[:4], "big")
        if number:
            self._flaw(by, offset, f"leads on to page {number}, where the record is complete")

    def _space(self, number: int, page: bytes, base: int, low: int, used: list[tuple[int, int]]) -> None:
        """The page's room: cells and free blocks do not overlap, and all else is zero."""
        free, start, fragments = *struct.unpack_from(">H2xH", page, base + 1), page[base + 7]
        blocks = list(self._blocks(number, page, base + 1, free))
        at = first = min([begin for begin, _ in used + blocks], default=len(page))
        if start != first % 65536:
            self._flaw(number, base + 5, f"cells begin at {start}, expected {first}")
        if first < low:
            self._flaw(number, first, "a cell lies over the page's head")
            return
        if page[base] == LEAF:
            self._zero(number, page, low, first)
        else:
            self._interior.append((number, page, low, first))
        loose = 0
        for begin, end in sorted(used + blocks):
            if begin < at:
                self._flaw(number, begin, "two cells overlap")
                return
            self._zero(number, page, at, begin)
            loose += begin - at
            at = end
        self._zero(number, page, at, len(page))
        if loose + len(page) - at != fragments:
            self._flaw(number, base + 7, f"{fragments} loose bytes are said to be there, found {loose + len(page) - at}")

    def _blocks(self, number: int, page: bytes, by: int, at: int) -> Iterator[tuple[int, int]]:
        """The free blocks of a page, in rising order: zero but for the next one's place and their size."""
        last = 0
        while at:
            if at + 4 > len(page) or at <= last:
                self._flaw(number, by, f"the next free block cannot be at {at}")
                return
            following, size = struct.unpack_from(">HH", page, at)
            if size < 4 or at + size > len(page):
                self._flaw(number, at + 2, f"a free block of {size} bytes does not fit")
                return
            self._zero(number, page, at + 4, at + size)
            yield at, at + size
            last, by, at = at, at, following
