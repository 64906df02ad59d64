"""The marker: a message to ourselves, which shows that the broker's queue is drained and that it still delivers."""

from __future__ import annotations

from uuid import uuid4

SECOND_NS = 1_000_000_000
INTERVAL_NS = 60 * SECOND_NS
PATIENCE_NS = 30 * SECOND_NS


class Marker:
    """When to publish a marker, and what its return or its absence says. Times are monotonic ns.

    The broker delivers in order, so a marker that was published after a connect comes back after all that was queued before. It needs no
    subscription of its own: it comes through the one for the readings, and so also shows that this one is alive.
    """

    def __init__(self, site: str, client_id: str) -> None:
        self.levels = f"renrum/{site}/$marker/"
        self.topic = self.levels + client_id
        self.drained = False
        self._due_ns: int | None = None
        self._waiting: dict[bytes, int] = {}
        self._took_ns: int | None = None
        self._traffic_ns = 0

    def begin(self, monotonic_ns: int) -> None:
        """A new subscription, or the end of a standstill: publish at once, and know nothing until that one is back."""
        self.drained = False
        self._waiting, self._took_ns = {}, None
        self._due_ns = monotonic_ns
        self._traffic_ns = monotonic_ns

    def stop(self) -> None:
        """The link is lost."""
        self.drained = False
        self._waiting, self._took_ns = {}, None
        self._due_ns = None

    def due(self, monotonic_ns: int) -> bool:
        return self._due_ns is not None and monotonic_ns >= self._due_ns

    def next_payload(self, monotonic_ns: int) -> bytes:
        """What to publish now; the next is due a minute later."""
        nonce = uuid4().hex.encode()
        self._waiting = self._waiting | {nonce: monotonic_ns}  # another thread may look
        self._due_ns = monotonic_ns + INTERVAL_NS
        return nonce

    def came_back(self, payload: bytes, monotonic_ns: int) -> bool:
        """True when this return shows that the queue is drained; those of other connections and other services show nothing."""
        if payload not in self._waiting:
            return False
        sent_ns = self._waiting[payload]
        self._took_ns = monotonic_ns - sent_ns
        self._waiting = {nonce: at for nonce, at in self._waiting.items() if at > sent_ns}
        first = not self.drained
        self.drained = True
        return first

    def lag_ns(self, monotonic_ns: int) -> int | None:
        """How long a message takes from the broker to the journal: the newest that is back, or longer, one that is out; None: not known."""
        times = [monotonic_ns - min(self._waiting.values())] if self._waiting else []
        return max([*times, *([] if self._took_ns is None else [self._took_ns])], default=None)

    def traffic(self, monotonic_ns: int) -> None:
        """Something was delivered, or we could not take anything: a long queue is no dead link."""
        self._traffic_ns = monotonic_ns

    def overdue(self, monotonic_ns: int) -> bool:
        """A marker is out, and for half a minute nothing at all was delivered: connected, but not delivering."""
        if not self._waiting:
            return False
        return monotonic_ns - max(self._traffic_ns, min(self._waiting.values())) > PATIENCE_NS
