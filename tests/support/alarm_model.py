"""The life of the alarms of one rule at one point, as plainly as it can be said: docs/alarms.md second by second, without a store.

It shares no code with alerts/: what it says of a happening is what must come of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOUR = 3600
UNSEEN = ("unacknowledged", "latched_unacknowledged")


@dataclass
class Alarm:
    id: str
    state: str
    acknowledged_at: int | None = None
    shelved_until: int | None = None
    suppressed: bool = False
    out: bool = False

    @property
    def flags(self) -> list[str]:
        stands = self.state != "normal"
        held = {"shelved": self.shelved_until is not None, "suppressed": self.suppressed, "out_of_service": self.out and stands}
        return [name for name, is_set in held.items() if is_set]


@dataclass
class Model:
    """Above 10 is breaching, at most 10 - deadband returned. `told` are the alarms told of by the last second, each once."""

    on_delay: int = 0
    deadband: float = 0.0
    latch: bool = False
    realarm: int | None = None
    suppress: bool = False
    alarms: list[Alarm] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    cleaning: bool = False
    out_until: int | None = None
    breaching_since: int | None = None
    open: Alarm | None = None
    raised: int = 0
    _news: dict[str, str] = field(default_factory=dict)

    # What happens in the second up to `at`

    def read(self, time: int, value: float) -> None:
        if self.out_until is not None and time < self.out_until:
            return
        if self.open is not None:
            if value <= 10 - self.deadband:
                self._over()
            return
        if value <= 10:
            self.breaching_since = None
            return
        if self.breaching_since is None:
            self.breaching_since = time
        if time - self.breaching_since >= self.on_delay:
            self.breaching_since = None
            self._raise()

    def acknowledge(self, id: str, at: int) -> None:
        for alarm in self._named(id):
            after = {"unacknowledged": "acknowledged", "returned": "normal", "latched_unacknowledged": "latched_acknowledged"}
            if alarm.state in after:
                alarm.acknowledged_at = at if alarm.state == "unacknowledged" else None
                alarm.state = after[alarm.state]

    def reset(self, id: str) -> None:
        for alarm in self._named(id):
            alarm.state = {"latched_unacknowledged": "returned", "latched_acknowledged": "normal"}.get(alarm.state, alarm.state)

    def shelve(self, id: str, until: int) -> None:
        for alarm in self._named(id):
            if alarm.state != "normal" and alarm.shelved_until is None:
                for one in self.alarms:
                    if one.state != "normal":
                        one.shelved_until = until

    def unshelve(self, id: str) -> None:
        for alarm in self._named(id):
            if alarm.shelved_until is not None:
                self._off_the_shelf()

    def take_out(self, at: int, until: int) -> None:
        if self.out_until is not None:
            return
        self.out_until, self.breaching_since = until, None
        if self.open is not None:
            self._over()
        for alarm in self.alarms:
            alarm.out = alarm.state != "normal"

    def put_back(self) -> None:
        if self.out_until is None:
            return
        self.out_until = None
        for alarm in self.alarms:
            if alarm.out:
                self._lower(alarm, "out")

    def elapse(self, at: int) -> None:
        """The step at `at`: what is due, then telling."""
        if self.out_until is not None and self.out_until <= at:
            self.put_back()
        for alarm in self.alarms:
            if alarm.shelved_until is not None and alarm.shelved_until <= at:
                alarm.shelved_until = None
                self._anew(alarm)
        for alarm in self.alarms:
            due = None if self.realarm is None or alarm.acknowledged_at is None else alarm.acknowledged_at + self.realarm
            if due is not None and due <= at and alarm.state == "acknowledged":
                self._unseen(alarm)
        for alarm in self.alarms:
            held = self.suppress and self.cleaning and alarm.state != "normal"
            if held != alarm.suppressed:
                alarm.suppressed = held
                if not held:
                    self._anew(alarm)
        by_id = {alarm.id: alarm for alarm in self.alarms}
        news, self._news = self._news, {}
        self.told = [id for id, why in news.items() if not by_id[id].flags and (why == "raised" or by_id[id].state in UNSEEN)]

    # What that means

    def _raise(self) -> None:
        self.raised += 1
        latched = next((alarm for alarm in self.alarms if self.latch and alarm.state.startswith("latched")), None)
        shelf = next((alarm.shelved_until for alarm in self.alarms if alarm.shelved_until is not None), None)
        if latched is None:
            suppressed = self.suppress and self.cleaning
            latched = Alarm(f"A{self.raised}", "", None, shelf, suppressed, self.out_until is not None)
            self.alarms.append(latched)
        latched.state, latched.acknowledged_at = "unacknowledged", None
        self.open = latched
        self._news[latched.id] = "raised"

    def _over(self) -> None:
        assert self.open is not None
        seen = self.open.state == "acknowledged"
        if self.latch:
            self.open.state = "latched_acknowledged" if seen else "latched_unacknowledged"
        else:
            self.open.state = "normal" if seen else "returned"
        self.open.acknowledged_at = None
        self.open = None

    def _off_the_shelf(self) -> None:
        for one in self.alarms:
            if one.shelved_until is not None:
                one.shelved_until = None
                self._anew(one)

    def _lower(self, alarm: Alarm, flag: str) -> None:
        setattr(alarm, flag, False)
        self._anew(alarm)

    def _anew(self, alarm: Alarm) -> None:
        """A flag is gone: with the last one it is annunciated again, if it stands."""
        if not alarm.flags and alarm.state in ("unacknowledged", "acknowledged", "latched_unacknowledged"):
            self._unseen(alarm)

    def _unseen(self, alarm: Alarm) -> None:
        if alarm.state == "acknowledged":
            alarm.state = "unacknowledged"
        alarm.acknowledged_at = None
        self._news.setdefault(alarm.id, "again")

    def _named(self, id: str) -> list[Alarm]:
        return [alarm for alarm in self.alarms if alarm.id == id]
