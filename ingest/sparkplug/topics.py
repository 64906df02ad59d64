"""The topics of edge nodes: spBv1.0/<group>/<kind>/<node>, and the device where there is one."""

from __future__ import annotations

from typing import NamedTuple

from facility.sources.sparkplug import NAMESPACE

KINDS = {"NBIRTH", "NDATA", "NDEATH", "NCMD", "DBIRTH", "DDATA", "DDEATH", "DCMD"}


class Address(NamedTuple):
    """Who a message is of; `device` is empty for the node itself."""

    group: str
    kind: str
    node: str
    device: str


def address_of(topic: str) -> Address | None:
    """None for every other topic."""
    namespace, *levels = topic.split("/")
    if namespace != NAMESPACE or len(levels) < 3 or levels[1] not in KINDS or len(levels) != (3 if levels[1][0] == "N" else 4):
        return None
    group, kind, node, *device = levels
    return Address(group, kind, node, "".join(device))
