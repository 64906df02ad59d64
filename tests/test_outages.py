"""Points out of service: what is judged of them, and when, is what the slow evaluator says, however late readings come (docs/rules.md)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.judging.backtest import Backtest
from alerts.judging.outages import outages_by_number
from ingest.journal.entries import ACTION, ActionBody
from rules.copies import Deaths
from rules.excursion import Excursion
from tests.support.living import Life
from tests.support.reference import Lived, Outage, evaluate
from tests.support.strategies import EVERY_KIND, Story, cuttings, stories
from tests.test_judgement import looking_back_little, plain

SECOND_NS = 10**9
BETWEEN_NS = SECOND_NS // 4
"""What people do falls between the readings of the stories."""


@st.composite
def out_of_service(draw: st.DrawFn, start: int) -> list[tuple[int, int, int]]:
    """When a point is out of service: from when, until when, and when it really is back; one after the other."""
    outages, at = [], start - BETWEEN_NS
    for _ in range(draw(st.integers(1, 3))):
        begin = at + draw(st.sampled_from((1, 2, 4, 9))) * SECOND_NS
        until = begin + draw(st.sampled_from((1, 3, 8, 100))) * SECOND_NS
        at = min(until, begin + draw(st.sampled_from((1, 3, 200))) * SECOND_NS)
        outages.append((begin, until, at))
    return outages


class Told:
    """A story told live while a point goes out of service and comes back; there is an entry at each of these moments."""

    def __init__(self, story: Story, point: str, outages: list[tuple[int, int, int]], *, settle: bool = False) -> None:
        self.life = Life(story, settle=settle)
        self.point = point
        self.due = [(begin, "out_of_service", until) for begin, until, _ in outages]
        self.due += [(back, "return_to_service" if back < until else "", until) for _, until, back in outages]
        self.due.sort()

    def until(self, at: int) -> None:
        """What people did up to then."""
        while self.due and self.due[0][0] < at:
            moment, action, until = self.due.pop(0)
            if action:
                body = ActionBody(action, self.point, "Karin", "work", until)
                self.life.pending.append(self.life._entry(ACTION, body, moment))
            self.life.step(moment)


def ended_by(outages: list[tuple[int, int, int]], clock: int) -> list[Outage]:
    return [(begin, back) for begin, _, back in outages if begin < clock]


@settings(max_examples=settings().max_examples // 4)  # each is judged three times: live, by the slow evaluator, by a back-test
@given(stories(kinds=EVERY_KIND, conditions=True, late=True, on_change=True), st.data())
def test_in_any_order_and_cutting_the_current_excursions_are_the_references(story: Story, data: st.DataObject) -> None:
    with looking_back_little(data):
        point = data.draw(st.sampled_from([point.id for point in story.facility.points]))
        outages = data.draw(out_of_service(min((row.received or 0 for row in story.rows), default=0)))
        told = Told(story, point, outages)
        lives: list[Lived] = []
        batches = data.draw(cuttings(story.rows))
        for batch, following in zip(batches, [*batches[1:], ()], strict=False):
            for row in batch:
                told.until(row.received or 0)
                told.life.arrive([row])
            at = batch[-1].received or 0
            told.life.step(at)
            if (not following or (following[0].received or 0) > at) and data.draw(st.booleans()):
                lives.append(Lived(at, data.draw(st.booleans()), (point,)))
                told.life.lived(lives[-1])
            if data.draw(st.booleans()):
                told.life.restart()
        clock = max((row.received or 0 for row in story.rows), default=0)
        told.life.step(clock + 1)
        outs = {point: ended_by(outages, clock)}
        expected = evaluate(story.facility, story.rules, story.tables, story.rows, lives, outages=outs).excursions
        assert told.life.current() == plain(list(expected))
        assert judged_again(told.life) == plain(list(expected)), "and so does a back-test of the same rules"


def judged_again(life: Life) -> list[Excursion]:
    plan, clock = life.ledger.judgement.plan, life.journal.kept[-1].at
    outages, deaths = outages_by_number(life.store, life.number_of), Deaths(life.store.deaths())
    backtest = Backtest([(0, plan)], life.number_of, life.memory.states(), lambda number: [life.memory.read(number)], outages, deaths)
    found = [row for number in backtest.points for row in backtest.judge(number, [life.memory.read(number)], clock, 1 << 62)]
    return plain([*found, *backtest.silences(life.journal.kept)])
