"""YAML as people write it: one line an item, quotes only where they are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z_$.][\w.$/-]*[A-Za-z][\w.$/-]*|[A-Za-z_$][\w.$/-]*|\d+[smhd]", re.ASCII)
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", ".nan", ".inf"}


def scalar(value: object) -> str:
    """A scalar, quoted where YAML could take it for something else."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
    return value if plain else f'"{"".join(map(_escaped, value))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 1 << 16 else f"\\U{ord(character):08x}"


def flow(fields: Mapping[str, object]) -> str:
    """A mapping on one line; a value that is a mapping or list itself too."""
    return "{" + ", ".join(f"{scalar(key)}: {_inner(value)}" for key, value in fields.items()) + "}"


def _inner(value: object) -> str:
    if isinstance(value, Mapping):
        return flow(value)
    return f"[{', '.join(map(_inner, value))}]" if isinstance(value, list) else scalar(value)
