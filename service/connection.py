"""How the settings reach a broker of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast

from ingest.mqtt.broker import EmbeddedBroker
from ingest.mqtt.link import Connection
from service.settings.settings import Mqtt, Tls


def connection_of(mqtt: Mqtt) -> Connection:
    """The connection that `mqtt` in renrum.yaml describes; of the embedded broker, host and port are not known here."""
    tls = mqtt.tls or Tls()
    return Connection(
        host=mqtt.host,
        port=mqtt.port,
        client_id=mqtt.client_id,
        tls=mqtt.tls is not None,
        ca_file=None if tls.ca_file is None else str(tls.ca_file),
        cert_file=None if tls.cert_file is None else str(tls.cert_file),
        key_file=None if tls.key_file is None else str(tls.key_file),
        username=mqtt.username,
        password=mqtt.password.reveal() if mqtt.password else None,
        protocol=cast(Literal["auto", "5", "3.1.1"], mqtt.protocol),
        receive_maximum=mqtt.receive_maximum,
    )


def connection_to(mqtt: Mqtt, broker: EmbeddedBroker | None) -> Connection:
    """The same, with host and port of the embedded broker where there is one."""
    connection = connection_of(mqtt)
    if broker is None:
        return connection
    return replace(connection, host="127.0.0.1", port=int(broker.url.rpartition(":")[2]), protocol=broker.protocol)
