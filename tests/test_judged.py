"""What state.db holds for the historian: no two transitions of a rule and point at one time, wherever a page of them ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.record.store import StateStore
from service.historian.judged import JudgedStore

AT = 1_763_700_000_000_000_000


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_transitions_of_one_moment_stay_apart_with_the_events_of_people_between(tmp_path: Path, limit: int) -> None:
    store = StateStore(tmp_path / "state.db")
    trail = [("A1", AT), ("A1", AT), ("user anna", AT - 10**9), ("A1", AT), ("user anna", AT + 5), ("A1", AT), ("A1", AT + 7)]
    with store.transaction():
        store.execute("insert into alarms (id, rule, point) values ('A1', 'dp-low', 'cp1.dp')")
        for object, at in trail:
            store.execute("insert into audit (at, actor, action, object, old, new, reason) values (?,'','',?,'','','')", (at, object))
    judged, found, after = JudgedStore(store.reader), list[int](), 0
    while rows := judged.transitions(after, limit):
        found += [row.time for row in rows if row.columns]
        after = max(row.seq for row in rows)
    assert found == [AT, AT + 1, AT + 2, AT + 3, AT + 7]
    store.close()
