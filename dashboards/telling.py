"""Who was told of an alarm, by which way and with what result, and who is next. Times are ns UTC."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """A page that was written `at` for a person (empty: for everyone) by a target: taken `sent`, None while it is not.

    `attempts` counts the tries, `tried` is when the last one ended (None: not yet), `detail` why it failed.
    """

    at: int
    person: str
    target: str
    attempts: int
    tried: int | None
    sent: int | None
    detail: str = ""

    @property
    def way(self) -> str:
        """The target; of a person's own only the channel, since the address is theirs."""
        return self.target.partition("/")[0] if self.person else self.target


@dataclass(frozen=True, slots=True)
class Telling:
    """All pages of an alarm, the oldest first; whom the next one goes to and `due` when, unless somebody acknowledges.

    `update` is when it is told with what else joined its group, None where it was or is in none.
    """

    told: tuple[Told, ...] = ()
    due: int | None = None
    next: tuple[str, ...] = ()
    update: int | None = None
