"""The guard against a second instance, by its clock alone: who is silent, when, and never a real single one for long."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.continuity.guard import ALONE, BEAT_NS, DOUBT_NS, LOST_NS, PATIENCE_NS, SECOND, SECOND_NS, TWO, UNKNOWN, Guard, Other, alone

BEGAN = 1000


def guard(run: str = "us") -> Guard:
    return Guard(run, BEGAN, 0)


def other(run: str = "them", *, began: int = 1, active: bool = True) -> Other:
    return Other(run, "elsewhere", began, active)


def test_alone_it_begins_at_once() -> None:
    us = guard()
    assert not us.may_act(SECOND_NS)
    us.asked(SECOND_NS)
    assert (us.state, us.may_act(SECOND_NS), us.silent) == (ALONE, True, False)


def test_a_broker_that_does_not_tell_makes_it_page_in_doubt() -> None:
    us = guard()
    for second in range(1, 20, 3):
        us.cut_off(second * SECOND_NS, "refused")
        assert us.may_act(second * SECOND_NS) == (second * SECOND_NS > DOUBT_NS)
    assert (us.state, us.silent) == (UNKNOWN, False)
    assert "refused" in us.words


def test_what_the_broker_kept_of_a_dead_one_delays_it_by_seconds_only() -> None:
    us = guard()
    us.heard(other(), True, SECOND_NS)
    us.asked(SECOND_NS)
    us.look(PATIENCE_NS)
    assert not us.may_act(PATIENCE_NS)
    us.look(SECOND_NS + PATIENCE_NS + 1)
    assert us.state == ALONE
    assert us.look(2 * LOST_NS) == ["them"]


def test_a_connection_that_comes_and_goes_keeps_it_silent_for_no_longer() -> None:
    us = guard()
    for second in range(0, 60, 3):  # each time the broker tells of a dead one, and is lost before that is waited for
        us.heard(other(), True, second * SECOND_NS)
        us.asked(second * SECOND_NS)
        us.look((second + 2) * SECOND_NS)
        assert us.may_act((second + 2) * SECOND_NS) == ((second + 2) * SECOND_NS > PATIENCE_NS + DOUBT_NS)
        us.cut_off((second + 2) * SECOND_NS, "lost")


def test_one_that_was_just_killed_is_not_taken_for_alive() -> None:
    """One beat may still have been under way."""
    us = guard()
    us.heard(other(), True, SECOND_NS)
    us.asked(SECOND_NS)
    us.heard(other(), False, SECOND_NS + 1)
    us.look(SECOND_NS + 1 + PATIENCE_NS + 1)
    assert us.state == ALONE


def beats(us: Guard, since: int, until: int, *, active: bool = True, began: int = 1) -> None:
    for at in range(since, until, BEAT_NS):
        us.heard(other(active=active, began=began), False, at)
        us.look(at)


def test_second_to_one_that_lives_until_that_is_silent_for_a_minute() -> None:
    us = guard()
    us.heard(other(), True, SECOND_NS)
    us.asked(SECOND_NS)
    beats(us, 2 * SECOND_NS, 30 * SECOND_NS)
    assert (us.state, us.silent, us.may_act(30 * SECOND_NS)) == (SECOND, True, False)
    assert "elsewhere" in us.words
    us.look(28 * SECOND_NS + LOST_NS)
    assert us.state == SECOND
    us.look(31 * SECOND_NS + LOST_NS)
    assert (us.state, us.may_act(31 * SECOND_NS + LOST_NS)) == (ALONE, True)


def test_a_restart_of_the_broker_or_of_the_first_one_changes_nothing() -> None:
    us = guard()
    us.heard(other(), True, SECOND_NS)
    us.asked(SECOND_NS)
    beats(us, 2 * SECOND_NS, 30 * SECOND_NS)
    us.cut_off(30 * SECOND_NS, "away")
    us.look(40 * SECOND_NS)
    us.asked(40 * SECOND_NS)
    us.look(45 * SECOND_NS)
    assert us.state == SECOND
    us.heard(other("again", began=2 * BEGAN), False, 50 * SECOND_NS)
    us.heard(other("again", began=2 * BEGAN), False, 52 * SECOND_NS)
    us.look(100 * SECOND_NS)
    assert us.state == SECOND


def test_cut_off_for_a_minute_it_pages_in_doubt() -> None:
    us = guard()
    us.heard(other(), True, SECOND_NS)
    us.asked(SECOND_NS)
    beats(us, 2 * SECOND_NS, 10 * SECOND_NS)
    us.cut_off(10 * SECOND_NS, "away")
    us.look(12 * SECOND_NS + LOST_NS)
    assert (us.state, us.silent) == (UNKNOWN, False)
    assert us.may_act(13 * SECOND_NS + LOST_NS + DOUBT_NS)


def test_who_pages_goes_on_when_another_one_appears_and_says_so() -> None:
    us = guard()
    us.asked(0)
    beats(us, SECOND_NS, 10 * SECOND_NS)
    assert (us.state, us.silent, us.may_act(10 * SECOND_NS)) == (TWO, False, True)
    us.look(11 * SECOND_NS + PATIENCE_NS)
    assert us.state == ALONE


def test_of_two_that_start_at_once_the_earlier_one_goes_on() -> None:
    us, them = Guard("a", 1, 0), Guard("b", 2, 0)
    for at in range(0, 12 * SECOND_NS, BEAT_NS):
        for one, another in ((us, them), (them, us)):
            if not another.silent:
                one.heard(other(another.run, began=another.began, active=another.active), at == 0, at)
            if at == 0:
                one.asked(at)
            one.look(at)
    assert (us.state, them.state) == (ALONE, SECOND)


def test_a_service_with_its_own_broker_is_alone() -> None:
    assert alone().may_act(0)


@given(seed=st.integers(0, 2**32), lost=st.floats(0, 0.3))
def test_never_are_all_silent_for_longer_than_a_take_over(seed: int, lost: float) -> None:
    """Three instances that start, die and are cut off as they like, with lost beats: at least one acts, but for the time it takes."""
    chance = random.Random(seed)
    guards: list[Guard | None] = [None, None, None]
    idle = 0
    for at in range(0, 900 * SECOND_NS, BEAT_NS):
        for place in range(3):
            if chance.random() < 0.01:
                guards[place] = Guard(f"{place}-{at}", at + place, at) if guards[place] is None else None
                if (born := guards[place]) is not None:
                    born.asked(at)
        living = [one for one in guards if one is not None]
        for one in living:
            if chance.random() < 0.02:
                one.cut_off(at, "away")
                one.asked(at)
            for another in living:
                if another is not one and not another.silent and chance.random() >= lost:
                    one.heard(replace(other(another.run), began=another.began, active=another.active), False, at)
            one.look(at)
        idle = 0 if not living or any(one.may_act(at) for one in living) else idle + BEAT_NS
        assert idle <= LOST_NS + PATIENCE_NS + 4 * BEAT_NS
