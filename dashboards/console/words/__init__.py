"""The console's texts: one catalogue a language, the same keys in each; beside them what the service itself says in English."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup
from ruamel.yaml import YAML

LANGUAGES = {"en": "English", "sv": "Svenska"}
"""The first is what is shown where nobody asks for another."""
DEFAULT = next(iter(LANGUAGES))


class Catalogue:
    """The texts of one language; called with a key it gives the text, with what is put into it escaped."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language, self.texts = language, texts

    def __call__(self, key: str, **values: object) -> Markup:
        # the catalogue is ours: its texts may hold markup, what is put into them may not
        text = Markup(self.texts[key])
        return text.format(**values) if values else text

    def count(self, key: str, number: int, **values: object) -> Markup:
        """The text for one, or for more, with `n` put in."""
        return self(f"{key}.{'one' if number == 1 else 'many'}", n=number, **values)

    def of(self, group: str, name: str) -> str:
        """What something is called; of what the catalogue does not know its own name, as words."""
        return self.texts.get(f"{group}.{name}", name.replace("_", " "))

    def group(self, group: str) -> dict[str, str]:
        """All texts of a group by name, in the order of the file."""
        return {key.removeprefix(f"{group}."): text for key, text in self.texts.items() if key.startswith(f"{group}.")}


@cache
def catalogue(language: str) -> Catalogue:
    """That of one of LANGUAGES."""
    path = Path(__file__).parent / f"{language}.yaml"
    return Catalogue(language, dict(_flat("", YAML(typ="safe", pure=True).load(path.read_text("utf-8")))))


def _flat(before: str, texts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, text in texts.items():
        if isinstance(text, str):
            yield f"{before}{name}", text
        else:
            yield from _flat(f"{before}{name}.", text)


def wanted(accepted: str) -> str:
    """The language of an Accept-Language header that is there.

    >>> wanted("sv-SE,sv;q=0.9,en;q=0.8"), wanted("fi, en;q=0.3, sv;q=0.5"), wanted("")
    ('sv', 'sv', 'en')
    """
    found: list[tuple[float, str]] = []
    for part in accepted.split(","):
        tag, _, quality = part.partition(";q=")
        try:
            found.append((-float(quality or 1), tag.strip().split("-")[0].lower()))
        except ValueError:
            continue
    return next((language for _, language in sorted(found, key=lambda one: one[0]) if language in LANGUAGES), DEFAULT)
