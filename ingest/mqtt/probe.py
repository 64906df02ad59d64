"""Does this broker keep a queue for a client that is away? Found out by trying, since no protocol says it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import uuid4

from ingest.listening import SECOND_NS
from ingest.mqtt.link import Connection, Link

BOUND_NS = 5 * SECOND_NS
PATIENCE_NS = SECOND_NS
_EXPIRY_S = 60


def broker_keeps_queue(settings: Connection, version: str, site: str, monotonic_ns: Callable[[], int]) -> tuple[bool, str]:
    """Whether a message published while its subscriber is away reaches it, and the finding in words.

    A client of its own subscribes and leaves; one message is published; it comes back and must find its session and the message. It cleans
    up after itself, and takes 5 s at most, beside what connecting takes.
    """
    client_id = f"{settings.client_id}-probe"
    topic = f"renrum/{site}/$marker/{client_id}"
    subscriber = replace(settings, client_id=client_id, expiry_s=_EXPIRY_S)
    publisher = replace(settings, client_id=f"{client_id}-publisher")
    payload = uuid4().hex.encode()
    end_ns = monotonic_ns() + BOUND_NS

    def visit(who: Connection, filters: Sequence[str], done: Callable[[Link], bool], patience_ns: int, clean: bool = False) -> Link:
        link = Link(who, version, filters, "", clean)
        until_ns = min(end_ns, monotonic_ns() + patience_ns)
        try:
            link.open()
            said = False
            while not link.lost and not done(link) and monotonic_ns() < until_ns:
                if link.connected and who is publisher and not said:
                    said = True
                    link.publish(topic, payload)
                link.write()
                link.wait(0.1)
                link.read()
            link.acknowledge()
        finally:
            link.close("done")
        return link

    try:
        visit(subscriber, (), lambda link: link.connected, BOUND_NS, clean=True)  # what an earlier probe may have left
        visit(subscriber, (topic,), lambda link: link.subscribed, BOUND_NS)
        visit(publisher, (), lambda link: link.published > 0, BOUND_NS, clean=True)
        back = visit(subscriber, (topic,), lambda link: any(marker.payload == payload for marker in link.markers), PATIENCE_NS)
        visit(subscriber, (), lambda link: link.connected, BOUND_NS, clean=True)
    except (OSError, ValueError) as error:
        return False, f"could not be found out: {error}"
    if any(marker.payload == payload for marker in back.markers):
        return True, "the broker keeps messages for us while we are away"
    if not back.subscribed:
        return False, f"could not be found out: {back.refused or back.lost}"
    lost = "it forgot our session" if not back.session_present else "it knew our session, but had not kept the message"
    return False, f"the broker keeps nothing for us while we are away ({lost}): readings sent during a restart of the service are lost"
