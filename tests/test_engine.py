"""How `advance` lays readings out for speed must not be seen in what it finds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import advance, open_excursions
from rules.runs import RunState
from tests.support.strategies import Story, stories
from tests.test_judgement import JUDGED, laid_out


@given(stories(kinds=JUDGED, conditions=True, on_change=True), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_searching_long_stretches_gives_what_judging_every_reading_gives(story: Story, long: int, chunk: int, piece: int) -> None:
    plan, readings, occupancy = laid_out(story)
    for group in plan.groups:
        plain_state, plain = advance(group, RunState.initial(len(group)), readings, occupancy)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (("LONG", long), ("CHUNK", chunk), ("PIECE", piece)):
                patch.setattr(f"rules.search.{name}", value)
            state, found = advance(group, RunState.initial(len(group)), readings, occupancy)
        assert found == plain
        assert open_excursions(group, state, occupancy) == open_excursions(group, plain_state, occupancy)
