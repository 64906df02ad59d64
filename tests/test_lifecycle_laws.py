"""Whatever happens to an alarm in whatever order: the table holds, and states, flags and pages are those of the plain model.

The cross product of delay, deadband, latch, shelve, suppression, out of service and restart walks one story; random ones walk the rest.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.lifecycle.lifecycle import NORMAL, PUT_BACK, REVEAL, SHELVE, SUPPRESS, TAKE_OUT, TRANSITIONS, UNSHELVE
from facility.site import SECOND_NS
from tests.support.alarm_model import Model
from tests.support.attended import ONE_BY_ONE, Attended, rule_of

BESIDE = (SHELVE, UNSHELVE, SUPPRESS, REVEAL, TAKE_OUT, PUT_BACK)
Happening = tuple[str, float]
STORY: tuple[Happening, ...] = (
    ("read", 9), ("read", 12), ("read", 12), ("read", 12), ("read", 9.5), ("ack", 1), ("read", 12), ("wait", 3), ("clean", 1),
    ("read", 12), ("read", 5), ("read", 12), ("read", 12), ("read", 12), ("clean", 0), ("ack", 2), ("read", 5), ("ack", 1), ("reset", 1),
    ("read", 12), ("read", 12), ("read", 12), ("shelve", 3), ("read", 5), ("read", 12), ("read", 12), ("wait", 20), ("wait", 20),
    ("reset", 1), ("reset", 2), ("read", 5), ("ack", 1), ("reset", 1),
)  # fmt: skip


class Both:
    """The ledger and the model side by side: they must agree after every second."""

    def __init__(self, *, on_delay: int, deadband: float, latch: bool, realarm: int, suppress: bool, restarting: bool = False) -> None:
        keys: dict[str, object] = {"on_delay": f"{on_delay}s", "deadband": deadband, "latch": latch}
        keys |= {"realarm": f"{realarm}s"} if realarm else {}
        keys |= {"suppress": ("cleaning",)} if suppress else {}
        self.site = Attended(rule_of(**keys), limits=ONE_BY_ONE)
        self.site.restarting = restarting
        self.model = Model(on_delay, deadband, latch, realarm or None, suppress)
        self.begin = self.site.at

    @property
    def now(self) -> int:
        return (self.site.at - self.begin) // SECOND_NS

    def happens(self, what: str, number: float) -> None:
        site, model, now, alarm = self.site, self.model, self.now, f"A{number:.0f}"
        # What people do to alarms is done when the journal has it, before the readings of the same step are judged.
        if what == "read":
            site.reads(number)
            model.read(now, number)
        elif what == "wait":
            site.waits(int(number))
        elif what == "clean":
            site.is_in("cleaning" if number else "in_operation")
            model.cleaning = bool(number)
        elif what == "ack":
            site.does("acknowledge", alarm)
            model.acknowledge(alarm, now)
        elif what == "reset":
            site.does("reset", alarm)
            model.reset(alarm)
        elif what == "shelve":
            site.does("shelve", alarm, until=8)
            model.shelve(alarm, now + 8)
        elif what == "unshelve":
            site.does("unshelve", alarm)
            model.unshelve(alarm)
        elif what == "out":
            site.does("out_of_service", "t", until=int(number))
            model.take_out(now, now + int(number))
        elif what == "back":
            site.does("return_to_service", "t")
            model.put_back()
        else:
            site.restart()
            return
        model.elapse(self.now)
        self.agree()

    def agree(self) -> None:
        found = [(alarm.id, alarm.state, list(alarm.flags)) for alarm in self.site.alarms()]
        assert found == [(alarm.id, alarm.state, alarm.flags) for alarm in self.model.alarms]
        self.site.told(*self.model.told)

    def table_holds(self) -> None:
        """Every transition on record is one of the table, from the state that the one before led to, with a reason and an actor."""
        state: dict[str, str] = {}
        for action, alarm, old, new, actor, reason, entry in self.site.store.rows(
            "select action, object, old, new, actor, reason, entry from audit where object like 'A%' order by seq"
        ):
            assert old == state.get(alarm, ""), (action, alarm)
            assert actor
            assert reason
            assert 0 < entry <= len(self.site.journal.kept)
            before, after = old.partition(",")[0], new.partition(",")[0]
            if action in BESIDE:
                assert before == after
                assert old != new
            else:
                assert TRANSITIONS[before or NORMAL, action] == after
            state[alarm] = new
        assert state == {alarm.id: alarm.described() for alarm in self.site.alarms()}


@pytest.mark.parametrize("restarting", [False, True], ids=["running", "restarting"])
@pytest.mark.parametrize(("shelve", "suppress", "out"), list(product([False, True], repeat=3)))
@pytest.mark.parametrize(("on_delay", "deadband", "latch"), list(product([0, 2], [0.0, 1.0], [False, True])))
def test_delay_deadband_latch_shelve_suppression_out_of_service_restart(
    on_delay: int, deadband: float, latch: bool, shelve: bool, suppress: bool, out: bool, restarting: bool
) -> None:
    both = Both(on_delay=on_delay, deadband=deadband, latch=latch, realarm=15, suppress=suppress, restarting=restarting)
    story = [*STORY, *((("out", 5.0), ("read", 12.0), ("wait", 5.0), *STORY[:6]) if out else ())]
    for what, number in story:
        if shelve or what != "shelve":
            both.happens(what, number)
    both.table_holds()
    assert both.site.again() == both.site.dump()


happenings = st.one_of(
    st.tuples(st.just("read"), st.sampled_from((5.0, 9.5, 12.0, 12.0))),
    st.tuples(st.sampled_from(("ack", "reset", "shelve", "unshelve")), st.sampled_from((1.0, 2.0, 3.0))),
    st.tuples(st.just("clean"), st.sampled_from((0.0, 1.0))),
    st.tuples(st.just("out"), st.sampled_from((1.0, 2.0, 6.0))),
    st.tuples(st.sampled_from(("wait", "back", "restart")), st.sampled_from((1.0, 4.0, 9.0))),
)


@given(
    st.integers(0, 2), st.sampled_from((0.0, 1.0)), st.booleans(), st.sampled_from((0, 5)), st.booleans(), st.lists(happenings, max_size=30)
)
def test_any_sequence_of_happenings_gives_the_states_flags_and_pages_of_the_model(
    on_delay: int, deadband: float, latch: bool, realarm: int, suppress: bool, story: list[Happening]
) -> None:
    both = Both(on_delay=on_delay, deadband=deadband, latch=latch, realarm=realarm, suppress=suppress)
    for what, number in story:
        both.happens(what, number)
    both.table_holds()
    assert both.site.again() == both.site.dump(), "replay of the journal gives the same"
