"""Topic filters as a source gives them: MQTT's own, whose levels may be captured by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

ALLOWED = "a topic filter such as plant/{area}/{device}/state: {name} or + for one level, # for all that follow"
_CAPTURE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """A filter; `levels` are those of the MQTT filter, `names` the captured ones by their index."""

    text: str
    levels: tuple[str, ...]
    names: tuple[tuple[int, str], ...] = ()

    @property
    def subscription(self) -> str:
        """The filter as MQTT has it."""
        return "/".join(self.levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """The captured levels by name, None when the topic is another."""
        levels = topic.split("/")
        if not _matches(self.levels, levels):
            return None
        return {name: levels[index] for index, name in self.names}

    def overlaps(self, other: TopicFilter) -> bool:
        """Whether there is a topic that both match."""
        first, second = self.levels[0], other.levels[0]
        if (first in "+#" and second.startswith("$")) or (second in "+#" and first.startswith("$")):
            return False  # MQTT 5, 4.7.2: a wildcard at the front matches no topic that begins with $
        return _overlap(self.levels, other.levels)


def parse_filter(text: str) -> TopicFilter:
    """Read a filter; a ValueError says what is wrong with it."""
    if not text or "\0" in text or len(text.encode()) > 65_535:
        raise ValueError(ALLOWED)
    levels: list[str] = []
    names: list[tuple[int, str]] = []
    given = text.split("/")
    for index, level in enumerate(given):
        capture = _CAPTURE.fullmatch(level)
        if capture is not None:
            if capture[1] in (name for _, name in names):
                raise ValueError(f"each name once, not {{{capture[1]}}} twice")
            if capture[1] == "key":
                raise ValueError("another name than {key}, which stands for the member of an `each`")
            names.append((index, capture[1]))
            levels.append("+")
            continue
        if "{" in level or "}" in level:
            raise ValueError(f"{{name}} for a whole level, in small letters, digits and _, not {level}")
        if ("+" in level and level != "+") or ("#" in level and level != "#"):
            raise ValueError(f"+ and # as whole levels only, not {level}")
        if level == "#" and index != len(given) - 1:
            raise ValueError("# as the last level only")
        levels.append(level)
    if levels[0] == "$share":
        raise ValueError("no shared subscription: it breaks the order of a point's readings")
    return TopicFilter(text, tuple(levels), tuple(names))


def _matches(levels: Sequence[str], topic: Sequence[str]) -> bool:
    if topic[0].startswith("$") and levels[0] in ("+", "#"):
        return False
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index >= len(topic) or level not in ("+", topic[index]):
            return False
    return len(topic) == len(levels)


def _overlap(first: Sequence[str], second: Sequence[str]) -> bool:
    for index in range(max(len(first), len(second))):
        one = first[index] if index < len(first) else None
        other = second[index] if index < len(second) else None
        if "#" in (one, other):
            return True
        if one is None or other is None or (one != other and "+" not in (one, other)):
            return False
    return True
