"""What one batch of messages changes in what we know of edge nodes; in force once it is durable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.journal.entries import SourceBody
from ingest.lives import BORN, DIED, GAP, Lives
from ingest.sparkplug.node import Node
from ingest.sparkplug.rebirths import Key


def source_of(key: Key, device: str = "") -> str:
    """The name of a node or a device in the journal."""
    return "/".join((*key, device) if device else key)


@dataclass(slots=True)
class Known:
    """Living nodes; who lived and is not born again yet, with the time that is left (monotonic ns, None: not running); all who live."""

    nodes: dict[Key, Node] = field(default_factory=dict)
    absent: dict[str, int | None] = field(default_factory=dict)
    lives: Lives = field(default_factory=Lives)


class Batch:
    """Changes on top of what is known. Of several births and deaths of a source in one batch the last is said: its readings come first."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self.nodes: dict[Key, Node | None] = {}
        self.absent: dict[str, int | None] = {}
        self._present: set[str] = set()
        self._said: dict[str, SourceBody] = {}
        self._gaps: list[SourceBody] = []

    @property
    def said(self) -> list[SourceBody]:
        """For the journal, in this order."""
        return [*self._gaps, *self._said.values()]

    def node(self, key: Key) -> Node | None:
        """The node, to be changed; None when it is not alive."""
        if key not in self.nodes and key in self._known.nodes:
            self.nodes[key] = self._known.nodes[key].draft()
        return self.nodes.get(key)

    def born(self, source: str, points: Iterable[int], detail: str) -> None:
        self._say(SourceBody(source, BORN, list(points), detail=detail))

    def died(self, source: str, detail: str) -> None:
        """The source and its devices; the points are all that they ever spoke for while they lived."""
        said = [name for name in self._said if name == source or name.startswith(f"{source}/")]
        points = {point for name in said for point in self._said[name].points}
        points |= {point for name in self._known.lives.of(source) for point in self._known.lives[name]}
        if not said and not self._known.lives.of(source):
            return  # it never lived
        for name in said:
            del self._said[name]
        for name in [source, *self._known.lives.of(source)]:
            self._present.add(name)
            self.absent.pop(name, None)
        self._say(SourceBody(source, DIED, sorted(points), detail=detail))

    def gone(self, source: str) -> None:
        """Nobody waits for it any more."""
        self._present.add(source)

    def gap(self, source: str, lost: int) -> None:
        self._gaps.append(SourceBody(source, GAP, lost=lost))

    def devices_missing(self, key: Key, deadline_ns: int) -> None:
        """The node is born: its devices are to be born within the time."""
        source = source_of(key)
        for name in self._known.lives.of(source):
            if name != source:
                self.absent[name] = deadline_ns
                self._present.discard(name)

    def confirm(self) -> None:
        """It is durable."""
        known = self._known
        for key, node in self.nodes.items():
            if node is None:
                known.nodes.pop(key, None)
            else:
                known.nodes[key] = node
        for source in self._present:
            known.absent.pop(source, None)
        known.absent.update(self.absent)
        for body in self.said:
            known.lives.add(body)

    def _say(self, body: SourceBody) -> None:
        self._said.pop(body.source, None)
        self._said[body.source] = body
        self._present.add(body.source)
        self.absent.pop(body.source, None)
