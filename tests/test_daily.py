"""The message of each day: when it comes, over restarts too, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alerts.duty.oncall import load_oncall
from facility.problems import ConfigurationError
from ingest.journal.entries import CHECKPOINT, CheckpointBody, encode
from tests.support.night import Night, with_oncall

DAILY = 'daily: {at: "07:00", to: sink}\n'
Begin = Callable[..., Night]


@pytest.fixture(params=[False, True], ids=["running", "restarted at every step"])
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Begin]:
    nights: list[Night] = []

    def begin(oncall: str = DAILY, at: str = "2026-01-06T06:30") -> Night:
        nights.append(Night(tmp_path, oncall, at, restarts=request.param))
        return nights[-1]

    yield begin
    for one in nights:
        one.close()


def lines(here: Night, target: str = "sink") -> dict[str, str]:
    """The newest message to a target, by the words before the colons."""
    query = "select page from outbox where page_id like 'daily-%' and target = ? order by id desc limit 1"
    (text,) = here.store.rows(query, (target,))[0]
    return dict(line.split(": ", 1) for line in json.loads(text)["text"].splitlines())


def test_it_comes_once_a_day(night: Begin) -> None:
    here = night()
    here.told({"07:00": "sink"}, "2026-01-07T06:59")
    here.told({"07:00": "sink"}, "2026-01-07T12:00")


def test_it_names_the_heads_of_the_journal_and_of_the_trail(night: Begin) -> None:
    here = night()
    here.reading("cp1.dp", 5.0)
    here.told({"06:30": "anna-sms anna-voice bo-sms qa-sms sink", "07:00": "sink"}, "2026-01-06T07:01")
    said = lines(here)
    number, _, head = said["Journal"].removeprefix("entry ").partition(", ")
    with_reader = here.journal.reader()
    entry = with_reader.entry(int(number))
    with_reader.close()
    assert entry is not None
    assert entry.hash.hex() == head
    row, _, trail = said["Audit trail"].removeprefix("row ").partition(", ")
    assert here.store.rows("select hash from audit where seq = ?", (int(row),)) == [(bytes.fromhex(trail),)]
    assert said["What"] == "Daily message: 1 alarm stands"
    assert said["Alarms"] == "unacknowledged: 1"
    assert said["Last verify without a fault"] == "never"


def test_it_says_when_verify_last_found_nothing_wrong(night: Begin) -> None:
    here = night()
    here.journal.append(CHECKPOINT, encode(CheckpointBody(1, "00")), here.clock.at, here.clock.at)
    here.told({"07:00": "sink"}, "2026-01-06T07:01")
    assert lines(here)["Last verify without a fault"] == "2026-01-06T05:30:00Z"


def test_what_was_missed_comes_with_the_next_step_once(night: Begin) -> None:
    here = night()
    here.tick()
    here.clock.turn(3 * 3600 * 10**9)  # nobody took a step: the service was down
    here.told({"09:32": "sink"}, "2026-01-06T12:00")


def test_another_time_counts_from_then_on(night: Begin, tmp_path: Path) -> None:
    here = night()
    here.told({"07:00": "sink"}, "2026-01-06T08:00")
    here.apply(with_oncall(here.configuration, tmp_path, 'daily: {at: "12:00", to: [sink, qa-sms]}\nlanguage: sv\n'))
    here.told({"12:00": "qa-sms sink"}, "2026-01-06T18:00")
    assert lines(here)["Vad"] == "Dagligt meddelande: 0 larm står"
    assert lines(here, "qa-sms")["What"] == "Daily message: 0 alarms stand", "a person has a language of their own"
    here.apply(with_oncall(here.configuration, tmp_path, ""))
    here.told({}, "2026-01-08T18:00")


def test_it_is_by_the_clocks_on_the_wall(night: Begin) -> None:
    here = night(at="2026-03-28T06:00")
    here.told({"07:00": "sink"}, "2026-03-28T08:00")
    here.told({"07:00": "sink"}, "2026-03-29T08:00")


def test_without_the_key_there_is_none(night: Begin) -> None:
    here = night(oncall="")
    here.told({}, "2026-01-08T06:30")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("channels: {sink: {kind: local, file: s}}\ndaily: {to: nobody}", "the id of a channel"),
        ("channels: {hook: {kind: webhook, url: 'http://127.0.0.1/'}}\ndaily: {}", "no channel that it goes to"),
        ("channels: {sink: {kind: local, file: s}}\ndaily: {at: noon}", "a time of day"),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "oncall.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        load_oncall(tmp_path / "oncall.yaml")


def test_it_goes_to_mail_and_files_unless_told_otherwise(tmp_path: Path) -> None:
    channels = "sink: {kind: local, file: s}, hook: {kind: webhook, url: 'http://127.0.0.1/'}"
    mail = "mail: {kind: email, host: localhost, security: none, from: em@site.test, to: [a@site.test, b@site.test]}"
    (tmp_path / "oncall.yaml").write_text(f"channels: {{{channels}, {mail}}}\ndaily: {{}}\n")
    daily = load_oncall(tmp_path / "oncall.yaml").roster.daily
    assert daily is not None
    assert sorted(daily.targets) == ["mail/a@site.test", "mail/b@site.test", "sink"]
