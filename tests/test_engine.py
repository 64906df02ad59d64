"""How `advance` lays readings out for speed must not be seen in what it finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import advance, open_excursions
from rules.occupancy import occupancy_of
from rules.plan import plan_of
from rules.runs import RunState
from tests.support.admitted import admit, with_received
from tests.support.strategies import Story, stories
from tests.test_judgement import columns


@given(stories(kinds=("limit", "quality")), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_searching_long_stretches_gives_what_judging_every_reading_gives(story: Story, long: int, chunk: int, piece: int) -> None:
    number = {point.id: i for i, point in enumerate(story.facility.points)}
    plan = plan_of(story.facility, story.rules, story.tables, number)
    states: dict[str, list[tuple[int, str]]] = {}
    for told in admit(story.facility, with_received(story.rows)).states:
        states.setdefault(told.place, []).append((told.time, told.state))
    occupancy = occupancy_of(story.facility, states)
    readings = columns(story)
    readings = readings.take(np.lexsort((readings.time, readings.point)))
    for group in plan.groups:
        plain_state, plain = advance(group, RunState.initial(len(group)), readings, occupancy)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (("LONG", long), ("CHUNK", chunk), ("PIECE", piece)):
                patch.setattr(f"rules.search.{name}", value)
            state, found = advance(group, RunState.initial(len(group)), readings, occupancy)
        assert found == plain
        assert open_excursions(group, state, occupancy) == open_excursions(group, plain_state, occupancy)
