"""Paths into a JSON payload, and texts with places for what stands there.

A path is the part of JSONPath (RFC 9535) that names one place: `$.metrics.dp`, `$.counts[0].n`, `$['Room 1'].t` from the whole message,
`.v` (or `@.v`) from the element that an `each` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

ALLOWED = "a path such as $.metrics.dp from the whole message, or .v from an element of `each`"
_STEP = re.compile(r"""\.([^\s.*\[\]'"{}]+)|\[(-?\d{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]""")
_PLACE = re.compile(r"\{([^{}]*)\}")


class Absent:
    """What is found where nothing is; another thing than null."""


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A compiled path: keys and indices from the message, or from the element where `relative`."""

    text: str
    relative: bool
    keys: tuple[str | int, ...]

    def find(self, message: object, element: object) -> object:
        """What stands there, ABSENT where nothing does."""
        found = element if self.relative else message
        for key in self.keys:
            if isinstance(found, dict) and isinstance(key, str):
                found = found.get(key, ABSENT)
            elif isinstance(found, list) and isinstance(key, int) and -len(found) <= key < len(found):
                found = found[key]
            else:
                return ABSENT
        return found


def is_path(text: str) -> bool:
    """Whether a text is meant as a path rather than as itself."""
    return text[:1] in ("$", "@", ".")


def parse_path(text: str) -> JsonPath:
    """Compile a path; a ValueError says what is allowed."""
    relative = text[:1] in ("@", ".")
    if not is_path(text):
        raise ValueError(ALLOWED)
    position, keys = (0 if text[0] == "." else 1), list[str | int]()
    if text == ".":
        return JsonPath(text, True, ())
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None:
            raise ValueError(ALLOWED)
        name, index, single, double = step.groups()
        keys.append(int(index) if index is not None else next(key for key in (name, single, double) if key is not None))
        position = step.end()
    return JsonPath(text, relative, tuple(keys))


@dataclass(frozen=True, slots=True)
class Template:
    """A text with places: `parts` are literal texts, paths, and names of captured topic levels (as 1-tuples; `key` is the member's)."""

    text: str
    parts: tuple[str | JsonPath | tuple[str], ...]

    @property
    def paths(self) -> tuple[JsonPath, ...]:
        return tuple(part for part in self.parts if isinstance(part, JsonPath))

    @property
    def names(self) -> tuple[str, ...]:
        """The captured names that it uses."""
        return tuple(part[0] for part in self.parts if isinstance(part, tuple))

    @property
    def fixed(self) -> bool:
        """Whether it says the same of every message."""
        return all(isinstance(part, str) for part in self.parts)

    def fits(self, text: str) -> bool:
        """Whether it can become this text."""
        pattern = "".join(re.escape(part) if isinstance(part, str) else ".+" for part in self.parts)
        return re.fullmatch(pattern, text) is not None


def parse_template(text: str) -> Template:
    """Compile a template; a ValueError says what is allowed."""
    parts: list[str | JsonPath | tuple[str]] = []
    position = 0
    for place in _PLACE.finditer(text):
        if place.start() > position:
            parts.append(text[position : place.start()])
        inside = place[1]
        parts.append(parse_path(inside) if is_path(inside) else _name(inside))
        position = place.end()
    if position < len(text):
        parts.append(text[position:])
    if not parts or any(isinstance(part, str) and ("{" in part or "}" in part) for part in parts):
        raise ValueError("a text with places such as {device}.dp, {$.device}.dp or {.id}")
    return Template(text, tuple(parts))


def _name(inside: str) -> tuple[str]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", inside):
        raise ValueError(f"in {{}} the name of a topic level, or {ALLOWED}")
    return (inside,)
