"""A bar for work that takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ingest.journal.flaw import Progress as Told
from ingest.journal.flaw import unwatched


@contextmanager
def progress_bar() -> Iterator[Callable[[str], Told]]:
    """Gives, by the name of a part of the work, what is told its progress; shown on standard error when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda name: unwatched
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def watch(name: str) -> Told:
            task = bar.add_task(name, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield watch
