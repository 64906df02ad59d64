"""YAML 1.2 as plain values that know where they stand."""

from __future__ import annotations

import re
import warnings
from difflib import get_close_matches
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from facility.files import Files
from facility.problems import Problem

Path = tuple[str | int, ...]
MAX_VALUES = 2_000_000
"""A document of more values is refused: aliases of aliases would fill the memory."""

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_WORDS = {"null": None, "Null": None, "NULL": None, "~": None, "": None} | dict.fromkeys(("true", "True", "TRUE"), True)
_WORDS |= dict.fromkeys(("false", "False", "FALSE"), False)
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


class Block(dict[str, Any]):
    """A mapping of a document that knows its own path in it."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


class Document:
    """One file's values, and the file and line (from 1) of every path in it.

    Rows of a spreadsheet that a file refers to stand in it like its own values, with their own file and line.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.value = Block(())
        self.positions: dict[Path, tuple[str, int]] = {(): (file, 1)}

    def position(self, path: Path) -> tuple[str, int]:
        """File and line of a path, or of the nearest that encloses it."""
        while path not in self.positions:
            path = path[:-1]
        return self.positions[path]

    def problem(self, path: Path, found: str, allowed: str, hint: str = "") -> Problem:
        """A problem with the value at a path."""
        file, line = self.position(path)
        return Problem(file, line, key_text(path), found, allowed, hint)


def key_text(path: Path) -> str:
    """A path as people read it: `rooms[0].points[2].unit`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A found value in a few words, never with a password in it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if len(str(value)) > 60 else f"the list {value}"
    if isinstance(value, bool):
        return str(value).lower()
    text = _PASSWORD_IN_URL.sub("***", str(value))
    text = text if len(text) <= 80 else text[:77] + "…"
    return repr(text) if isinstance(value, str) else text


def did_you_mean(name: object, known: list[str] | tuple[str, ...]) -> str:
    """A suggestion for a misspelt name, or nothing."""
    near = get_close_matches(str(name), known, 1, 0.6) or [other for other in known if other.lower() == str(name).lower()]
    return f"Did you mean {near[0]}?" if near else ""


def one_of(names: list[str] | tuple[str, ...], most: int = 20) -> str:
    """What is allowed, as a list that stays readable."""
    if not names:
        return "nothing, as there is none"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def read_document(files: Files, name: str) -> tuple[Document, list[Problem]]:
    """Read one YAML file; raises Unreadable, all else that is wrong with it is in the problems."""
    return parse_document(files.shown(name), files.read(name))


def parse_document(file: str, text: str) -> tuple[Document, list[Problem]]:
    """The values of a YAML 1.2 text (core schema); top-level keys `x-…` are left out, they are there for anchors."""
    document = Document(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be given anew
            root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        return document, [Problem(file, line, "", f"a fault: {error.problem or error.context}", "YAML 1.2", _hint(text, line))]
    except ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        return document, [Problem(file, line, "", f"the character {error.character!r}", "text without control characters")]
    except (YAMLError, ValueError, RecursionError) as error:
        return document, [Problem(file, 0, "", f"a fault: {type(error).__name__}", "YAML 1.2")]
    if root is None:
        return document, []
    reading = _Reading(document)
    try:
        value = reading.value(root, ())
    except _TooMuch as error:
        return document, [*reading.problems, Problem(file, 0, "", str(error), f"at most {MAX_VALUES} values, no alias within itself")]
    if not isinstance(value, Block):
        return document, [Problem(file, 1, "", shown(value), "a mapping of keys to values")]
    for key in [key for key in value if key.startswith("x-")]:
        del value[key]
    document.value = value
    return document, reading.problems


def _hint(text: str, line: int) -> str:
    lines = text.splitlines()
    faulty = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in faulty:
        return "Indent with blanks, not tabs."
    return "Within [ ] or { } a text with { or a blank after : needs quotes." if "{" in faulty else ""


class _TooMuch(Exception):
    pass


class _Reading:
    """Turns the nodes of one document into values, noting positions and problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.values = 0
        self.open: list[Node] = []

    def value(self, node: Node, path: Path) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _TooMuch("too many values")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if node in self.open:
            raise _TooMuch(f"an alias that holds itself in line {node.start_mark.line + 1}")
        self.open.append(node)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            assert isinstance(node, SequenceNode)
            return self._list(node, path)
        finally:
            self.open.pop()

    def _note(self, node: Node, path: Path) -> None:
        self.document.positions[path] = (self.document.file, node.start_mark.line + 1)

    def _list(self, node: SequenceNode, path: Path) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self._note(item, (*path, index))
            items.append(self.value(item, (*path, index)))
        return items

    def _mapping(self, node: MappingNode, path: Path) -> Block:
        block = Block(path)
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                self._merge(block, key_node, value_node, path)
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == f"{_TAG}merge":
                continue
            if not isinstance(key_node, ScalarNode):
                self._problem(key_node, path, "a key that is no plain text", "a name")
                continue
            key = str(key_node.value)
            if key in seen:
                self._problem(key_node, (*path, key), f"the key {key!r} again, first given in line {seen[key]}", "each key once")
                continue
            seen[key] = line
            self._note(key_node, (*path, key))
            block[key] = self.value(value_node, (*path, key))
        return block

    def _merge(self, block: Block, key_node: Node, value_node: Node, path: Path) -> None:
        """`<<: *anchor`: what the mapping does not give itself; of several sources the first counts."""
        for source in reversed(value_node.value if isinstance(value_node, SequenceNode) else [value_node]):
            if isinstance(source, MappingNode):
                block.update(self.value(source, path))
            else:
                self._problem(key_node, path, "a merge (<<) of what is no mapping", "an alias of a mapping, or a list of them")

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text = str(node.value)
        tag = str(node.tag)
        if tag.removeprefix(_TAG) not in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value"):
            self._problem(node, path, f"the tag {tag!r}", "values without tags")
            return None
        if node.style is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if len(text) < 400 and _INTEGER.fullmatch(text):
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _problem(self, node: Node, path: Path, found: str, allowed: str) -> None:
        self.problems.append(Problem(self.document.file, node.start_mark.line + 1, key_text(path), found, allowed))
