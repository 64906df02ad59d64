"""The files of a journal: `journal.db`, then one for each day, named by the number of its first entry. None is ever renamed or cut.

`journal.db` names the journal as a whole, also when what it held is sealed and it is gone.
"""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"-(\d{12})\.db")
BESIDE = ("", "-wal", "-shm", "-journal", ".pages")
"""What belongs to a file, by what follows its name."""


def files_of(journal: Path) -> list[tuple[int, Path]]:
    """Each file with the number of its first entry, in order; OSError."""
    stem = journal.stem
    found = [(1, journal)] if journal.exists() else []
    for path in journal.parent.glob(f"{stem}-*.db"):
        if match := _NAME.fullmatch(path.name.removeprefix(stem)):
            found.append((int(match[1]), path))
    return sorted(found)


def file_from(journal: Path, first: int) -> Path:
    """The file that begins with an entry."""
    return journal.with_name(f"{journal.stem}-{first:012}.db")


def there_is(journal: Path) -> bool:
    """Whether there is a journal, in whatever files; OSError."""
    return bool(files_of(journal))


def bytes_of(journal: Path) -> int:
    """The size of all its files with what belongs to them; OSError."""
    beside = (path.with_name(path.name + more) for _, path in files_of(journal) for more in BESIDE)
    return sum(path.stat().st_size for path in beside if path.exists())


def remove(path: Path) -> None:
    """Remove a file and what belongs to it; OSError."""
    for more in BESIDE:
        path.with_name(path.name + more).unlink(missing_ok=True)
