"""What is wrong with a configuration: every problem at once, each with its place; and how numbers are said in messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in one file: where, what was found, what is allowed, what to do.

    `line` counts from 1; 0 means the file as a whole.
    """

    file: str
    line: int
    key: str
    found: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{where}:{key} found {self.found}; allowed: {self.allowed}.{hint}"


def so_many(count: int, noun: str) -> str:
    """How many of something: `1 entry`, `2 entries`, `12,000 readings`."""
    things = noun if count == 1 else f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {things}"


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` holds every reason, sorted by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
