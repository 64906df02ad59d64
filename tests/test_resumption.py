"""alerts/resumption.py: a verify goes on where an earlier one ended, and finds what one from the first entry finds."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from alerts.resumption import FOLDER, files_of, journalled, newest, thin
from ingest.journal.entries import CHECKPOINT, CheckpointBody, encode
from ingest.journal.flaw import Flaws
from service.clock import SystemClock
from service.proof.verification import Check, verify, verify_and_leave
from tests.support.archive_data import SECOND_NS, Installation
from tests.support.installation import Paging, installation
from tests.support.verifying import change, flip


def unwatched(part: str) -> object:
    return lambda done, total: None


def checks(place: Installation, *, all: bool = False) -> dict[str, Check]:
    return {check.name: check for check in verify(place.data_dir, SystemClock(), unwatched, all=all)}  # type: ignore[arg-type]


def checkpoint(place: Installation, *, vouched: bool = True) -> Path:
    found, left = verify_and_leave(place.data_dir, SystemClock(), unwatched, all=False, leave=True)  # type: ignore[arg-type]
    assert all(check.ok for check in found), [list(check.flaws) for check in found]
    assert left is not None
    if vouched:
        place.at += SECOND_NS
        place.journal.append(CHECKPOINT, encode(CheckpointBody(*left)), place.at, None)
        place.step()
    return files_of(place.data_dir / FOLDER)[left[0]]


def wrong(place: Installation) -> dict[str, list[str]]:
    return {name: [str(flaw) for flaw in check.flaws] for name, check in checks(place).items() if not check.ok}


def life(place: Paging, chance: random.Random, begin: int) -> None:
    """Readings in and out of limits, some of them late, states, deliveries, series written at odd moments."""
    for second in range(begin, begin + 80):
        place.read("inc1.temp", chance.choice([37.0, 37.0, 39.5]), second)
        if chance.random() < 0.3:
            place.read("cp1.dp1.dp", chance.choice([15.0, 5.0]), second + 0.5)
        if chance.random() < 0.2:
            place.read("inc1.temp", chance.choice([37.5, 40.0]), max(0, second - chance.randrange(1, 200)) + 0.25)
        if chance.random() < 0.05:
            place.occupancy("cp1", chance.choice(["at_rest", "in_operation"]), second - chance.randrange(60))
        if chance.random() < 0.4:
            place.step()
        if chance.random() < 0.03:
            place.write_series()
    place.step()


@pytest.mark.parametrize("seed", range(4))
def test_resumed_time_and_again_it_finds_what_a_whole_one_finds(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    place = Paging(tmp_path / "site")
    for night in range(4):
        life(place, chance, night * 100)
        checkpoint(place)
    life(place, chance, 400)
    some, everything = checks(place), checks(place, all=True)
    place.close()
    assert all(check.ok for check in (*some.values(), *everything.values())), [list(check.flaws) for check in some.values()]
    assert 0 < int(str(some["excursions"].counts["evaluated_again"])) < int(str(everything["excursions"].counts["evaluated_again"]))
    for counted in ("excursions", "revisions", "alarms", "pages", "steps"):
        assert some["excursions"].counts[counted] == everything["excursions"].counts[counted]
    for counted in ("received", "stored", "duplicates", "quarantined", "own"):
        assert some["completeness"].counts[counted] == everything["completeness"].counts[counted]


def test_what_was_changed_before_the_checkpoint_is_named_all_the_same(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    checkpoint(place)
    change(place.data_dir / "state.db", "update excursions set peak = 1 where id = 'E1' and revision = 0")
    change(place.data_dir / "state.db", "update outbox set attempts = 9 where id = 1")
    found = wrong(place)
    assert any("excursion E1" in flaw for flaw in found["excursions"])
    assert any("to sink: `attempts` stored 9" in flaw for flaw in found["excursions"])
    place.close()


def test_a_changed_checkpoint_is_named_and_the_one_before_serves(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    first = checkpoint(place)
    place.read("inc1.temp", 41.0, 400)
    place.step()
    second = checkpoint(place)
    flip(second, 5000, 1)
    found = checks(place)
    assert [str(flaw) for flaw in found["excursions"].flaws] == [f"{FOLDER}/{second.name}: it is not as the journal says: it was altered"]
    assert found["excursions"].counts["checkpoint"] == int(first.stem)
    place.close()


def test_one_that_the_journal_does_not_vouch_for_counts_for_nothing(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    checkpoint(place, vouched=False)
    assert checks(place)["excursions"].counts["checkpoint"] is None
    place.close()


def test_one_of_another_version_counts_for_nothing_and_is_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an upgrade that changes the tables of state.db: all is evaluated again."""
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place)
    flaws = Flaws()
    with closing(place.journal.reader()) as reader:
        assert newest(place.data_dir / FOLDER, reader, place.journal.head.seq, flaws) is not None
        monkeypatch.setattr("alerts.record.store.FORMAT", 1_000)
        assert newest(place.data_dir / FOLDER, reader, place.journal.head.seq, flaws) is None
    assert not list(flaws)
    place.close()


def test_a_step_whose_time_a_later_reading_shares_is_no_place_to_go_on_from(tmp_path: Path) -> None:
    """What was received before it and after it could not be told apart in the series."""
    place = installation(tmp_path / "site")
    left = verify_and_leave(place.data_dir, SystemClock(), unwatched, all=True, leave=True)[1]  # type: ignore[arg-type]
    assert left is not None
    place.at -= SECOND_NS
    place.read("inc1.temp", 41.0, 400)
    place.journal.append(CHECKPOINT, encode(CheckpointBody(*left)), place.at, None)
    place.step()
    found = checks(place)
    assert found["excursions"].ok
    assert found["excursions"].counts["checkpoint"] is None
    place.close()


def test_a_service_keeps_two_that_the_journal_vouches_for(tmp_path: Path) -> None:
    place = installation(tmp_path / "site", rounds=1)
    for second in (400, 410, 420):
        place.read("inc1.temp", 37.0, second)
        place.step()
        checkpoint(place)
    place.read("inc1.temp", 37.0, 430)
    place.step()
    checkpoint(place, vouched=False)
    folder = place.data_dir / FOLDER
    before = sorted(files_of(folder))
    (folder / "000000000001.new").touch()
    with closing(place.journal.reader()) as reader:
        thin(folder, journalled(reader))
    assert sorted(files_of(folder)) == before[1:3]
    assert len(list(folder.iterdir())) == 2
    place.close()
