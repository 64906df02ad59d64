"""Sparkplug payloads out of quarantine: what says its own names and datatypes needs no birth to be understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facility.site import Facility
from facility.sources.source import Source
from facility.sources.sparkplug import SparkplugSource
from ingest.arrivals import Arrivals, Quarantined, Reason
from ingest.decoding.topics import NotUnderstood
from ingest.message import Message
from ingest.sparkplug.births import Births, groups_of
from ingest.sparkplug.payload import parse
from ingest.sparkplug.readings import of_birth, take_readings
from ingest.sparkplug.topics import address_of


class Again:
    """Reads births, and single metrics as quarantine keeps them; what an alias alone meant, nobody knows any more."""

    def __init__(self, sources: Sequence[Source], facility: Facility, number_of: Mapping[str, int]) -> None:
        self._groups = groups_of(tuple(source for source in sources if isinstance(source, SparkplugSource)))
        self._facility, self._number_of = facility, number_of

    def take(self, message: Message, index: int, arrivals: Arrivals) -> bool:
        """Take all that a message holds; False when its topic is none of ours. No payload makes it raise."""
        address = address_of(message.topic)
        if address is None or address.kind[1:] not in ("BIRTH", "DATA") or address.group not in self._groups:
            return False
        try:
            payload = parse(message.payload)
            if not all(metric.name and metric.HasField("datatype") for metric in payload.metrics):
                raise NotUnderstood(Reason.METRIC_UNKNOWN, "a metric without name and datatype: what its alias meant is not known any more")
            births = Births(self._facility, self._number_of)
            born = births.read(self._groups[address.group][1], "", address.node, address.device, payload)
            take_readings(of_birth(payload, born), payload, message.topic, index, arrivals)
        except NotUnderstood as why:
            arrivals.quarantine.append(Quarantined(message.topic, message.payload, why.reason, why.detail))
        except ValueError as error:
            arrivals.quarantine.append(Quarantined(message.topic, message.payload, Reason.NOT_SPARKPLUG, str(error)))
        return True
