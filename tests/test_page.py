from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alerts.pages.page import RETURNED, SERVICE, TEST, Before, Letterhead, Occasion, Page, decode, encode, notice, page_id, render
from alerts.pages.wording import GSM_ALPHABET, WORDS, distinct, span
from facility.site import Facility, Place, Point
from rules.ahead import OURS
from rules.excursion import Excursion
from rules.rule import Bound, Rule
from tests.support.pages import FACILITY, LETTERHEAD, LOW, ONSET_NS, PRESSURE, SECOND_NS, page

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PARTICLES = Rule("p05-high", "limit", level="alert", priority="medium", above=Bound(3520.0, inclusive=True))


def test_a_page_tells_what_where_how_bad_since_when_and_what_to_do() -> None:
    told = page()
    assert told.subject == "demo ACTION high: Cell processing 1, differential pressure 9.96 Pa below 10 Pa"
    assert told.text.splitlines() == [
        "Environment: demo",
        "Level: action, priority high",
        "What: differential pressure (cp1.dp)",
        "Where: ATMP Centre, Cell processing 1 (cp1), grade B, in operation",
        "Worst value: 9.96 Pa, below the limit",
        "Limit: 10 Pa",
        "Since: 2026-11-21 08:41:10+01:00 (Europe/Stockholm), 2026-11-21T07:41:10.25Z",
        "For: 5 min 20 s",
        "Rule: dp-low",
        "Do: Close the doors of cp1. Stop open work.",
        "Procedure: SOP-17",
        "Open: https://em.example.org/alarms/17",
    ]
    assert told.facts["limit"] == 10.0
    assert told.facts["onset"] == "2026-11-21T07:41:10.25Z"


def test_a_value_on_an_inclusive_limit_is_said_to_be_at_it_in_the_zone_where_it_stands() -> None:
    excursion = Excursion("p05-high", "bsc1.p05", "alert", ONSET_NS, ONSET_NS, peak=3520.0, limit=3520.0, unit="1/m3")
    told = render(excursion, alarm="18", rule=PARTICLES, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS)
    assert told.subject == "demo ALERT medium: Cabinet 1, Particles 0.5 um 3 520 /m3 at or above 3 520 /m3"
    assert "Worst value: 3\u202f520 /m³, at or above the limit\nLimit: 3\u202f520 /m³\n" in told.text
    assert "Where: ATMP Centre, Cell processing 1 (cp1), Cabinet 1 (bsc1), grade A\n" in told.text
    assert "Do:" not in told.text


def test_each_excursion_of_an_alarm_with_levels_has_a_page_of_its_own() -> None:
    excursion = Excursion("dp.action", "cp1.dp", "action", ONSET_NS, ONSET_NS, id="E7", room="cp1")
    assert page_id(excursion, "A7", "raised") == "A7-raised"
    assert page_id(excursion, "A3", "raised") == "A3-E7-raised"


def test_our_own_clock_is_told_without_a_place() -> None:
    rule = Rule("clock", "clock_ahead", level="technical", priority="critical", text={"en": "Set the clock of the server."})
    excursion = Excursion("clock", OURS, "technical", ONSET_NS, ONSET_NS)
    told = render(excursion, alarm="A9", rule=rule, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS)
    words = "our own clock is behind most instruments, readings from the future since 2026-11-21 08:41:10+01:00"
    assert told.subject == f"demo TECHNICAL critical: {words}"
    assert "Where: ATMP Centre\n" in told.text
    assert "Do: Set the clock of the server.\n" in told.text


def test_a_worst_value_inside_the_limit_is_not_said_to_be_beyond_it() -> None:
    rule = Rule("dp-often", "count", above=Bound(10.0), k=2, n=3)
    excursion = Excursion(rule.id, "cp1.dp", "alert", ONSET_NS, ONSET_NS, peak=9.0, limit=10.0, unit="Pa", room="cp1")
    told = render(excursion, alarm="20", rule=rule, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS)
    assert told.subject.endswith("differential pressure out of order since 2026-11-21 08:41:10+01:00")
    assert told.facts["side"] is None
    assert "Worst value: 9 Pa\n" in told.text


@pytest.mark.parametrize(
    ("kind", "words"),
    [("stale", "silent since"), ("quality", "bad readings since"), ("rate", "changing too fast since"), ("flatline", "not moving since")],
)
def test_a_rule_without_a_value_says_what_is_wrong_instead(kind: str, words: str) -> None:
    rule = Rule("dp-" + kind, kind, level="technical", text={"sv": "Kontrollera givaren."})
    excursion = Excursion(rule.id, "cp1.dp", "technical", ONSET_NS, ONSET_NS + 90 * SECOND_NS, room="cp1")
    told = render(excursion, alarm="19", rule=rule, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS + 90 * SECOND_NS)
    assert told.subject == f"demo TECHNICAL medium: Cell processing 1, differential pressure {words} 2026-11-21 08:41:10+01:00"
    assert "Limit" not in told.text
    assert "Worst" not in told.text
    assert "Do: Kontrollera givaren.\n" in told.text


def test_an_alarm_found_late_says_so_and_whether_it_is_over() -> None:
    over = replace(LOW, ended=ONSET_NS + 3700 * SECOND_NS, cleared=ONSET_NS + 3800 * SECOND_NS, late=True)
    told = render(over, alarm="20", rule=PRESSURE, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS + 9000 * SECOND_NS)
    where = "Cell processing 1, differential pressure 9.96 Pa below 10 Pa"
    assert told.subject == f"demo OVER, not acknowledged, ACTION FOUND LATE high: {where}, over after 1 h 1 min"
    assert "Status: OVER, not acknowledged\n" in told.text
    did = "What to do while it lasted: Close the doors of cp1. Stop open work."
    assert f"Do: It is over, and still has to be acknowledged: open the link. {did}\n" in told.text
    assert "For: 1 h 1 min, over since 2026-11-21 09:42:50+01:00\n" in told.text
    assert "Late: " in told.text


def test_a_page_in_swedish_says_the_same() -> None:
    rule = replace(PRESSURE, text={"en": "Close the doors.", "sv": "Stäng dörrarna."})
    told = render(LOW, alarm="17", rule=rule, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS + 3920 * SECOND_NS, language="sv")
    assert told.subject == "demo ÅTGÄRD hög: Cell processing 1, differenstryck 9,96 Pa under 10 Pa"
    assert told.text.splitlines() == [
        "Miljö: demo",
        "Nivå: åtgärd, prioritet hög",
        "Vad: differenstryck (cp1.dp)",
        "Var: ATMP Centre, Cell processing 1 (cp1), klass B, i drift",
        "Sämsta värde: 9,96 Pa, under gränsen",
        "Gräns: 10 Pa",
        "Sedan: 2026-11-21 08:41:10+01:00 (Europe/Stockholm), 2026-11-21T07:41:10.25Z",
        "Varaktighet: 1 tim 5 min",
        "Regel: dp-low",
        "Gör: Stäng dörrarna.",
        "Rutin: SOP-17",
        "Öppna: https://em.example.org/alarms/17",
    ]
    assert told.facts == page().facts | {"language": "sv"}


def test_both_languages_have_the_same_words() -> None:
    assert {language: sorted(words) for language, words in WORDS.items()} == dict.fromkeys(WORDS, sorted(WORDS["en"]))
    assert all(WORDS["en"][key].count("{}") == word.count("{}") for key, word in WORDS["sv"].items())
    assert all(set(word.format(*range(7))) <= GSM_ALPHABET for words in WORDS.values() for key, word in words.items() if "`" not in word)


@pytest.mark.parametrize(
    ("language", "acknowledged", "head", "tail", "do"),
    [
        ("en", True, "OVER, ACTION high: ", "over after 1 min 30 s", "Nothing more is needed for the moment: it is over and acknowledged."),
        ("sv", True, "UPPHÖRT, ÅTGÄRD hög: ", "upphörde efter 1 min 30 s", "Inget mer behövs just nu: det har upphört och är kvitterat."),
        ("en", False, "OVER, not acknowledged, ACTION high: ", "over after 1 min 30 s", "It is over, and still has to be acknowledged"),
        (
            "sv",
            False,
            "UPPHÖRT, ej kvitterat, ÅTGÄRD hög: ",
            "upphörde efter 1 min 30 s",
            "Det har upphört, men måste fortfarande kvitteras",
        ),
    ],
)
def test_a_page_says_that_it_is_over_and_whether_it_still_has_to_be_acknowledged(
    language: str, acknowledged: bool, head: str, tail: str, do: str
) -> None:
    over = replace(LOW, ended=ONSET_NS + 90 * SECOND_NS, cleared=ONSET_NS + 100 * SECOND_NS)
    occasion = Occasion(RETURNED, over=True, acknowledged=acknowledged)
    told = render(
        over, alarm="17", rule=PRESSURE, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS, language=language, occasion=occasion
    )
    assert told.subject.startswith(f"demo {head}Cell processing 1, ")
    assert told.subject.endswith(tail)
    assert f": {do}" in told.text
    assert "Stop open work" not in told.text
    assert told.kind == "returned"


def test_a_reminder_says_so_and_who_was_told_before() -> None:
    occasion = Occasion(before=Before(2, ("Anna Berg", "QA"), ONSET_NS + 60 * SECOND_NS))
    told = render(LOW, alarm="17", rule=PRESSURE, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS, occasion=occasion)
    assert told.subject == "demo REMINDER 2: ACTION high: Cell processing 1, differential pressure 9.96 Pa below 10 Pa"
    assert "Told before: Anna Berg, QA; first at 2026-11-21 08:42:10+01:00; not acknowledged yet\n" in told.text


def test_a_level_says_since_when_the_alarm_stands() -> None:
    occasion = Occasion(began=ONSET_NS - 25 * SECOND_NS)
    told = render(LOW, alarm="17", rule=PRESSURE, facility=FACILITY, letterhead=LETTERHEAD, at=ONSET_NS, occasion=occasion)
    assert (
        "Alarm since: 2026-11-21 08:40:45+01:00 (Europe/Stockholm), 2026-11-21T07:40:45.25Z\nSince: 2026-11-21 08:41:10+01:00" in told.text
    )


def test_a_subject_spells_what_an_sms_has_no_letters_for_and_keeps_the_name() -> None:
    point = Point("bsc1.p50", "particles_5_0um", "1/m3", "cp1", zone="bsc1", name="Particles ≥ 5 µm", grade="A", type="bsc")
    facility = replace(FACILITY, points=(point,))
    excursion = Excursion("p50", "bsc1.p50", "action", ONSET_NS, ONSET_NS, peak=5932.0, limit=29.0, unit="1/m3")
    rule = Rule("p50", "limit", level="action", priority="critical", above=Bound(29.0))
    told = render(excursion, alarm="A1", rule=rule, facility=facility, letterhead=LETTERHEAD, at=ONSET_NS)
    assert told.subject == "demo ACTION critical: Cabinet 1, Particles >= 5 um 5 932 /m3 above 29 /m3"
    assert "What: Particles ≥ 5 µm (bsc1.p50)\n" in told.text


def test_the_link_of_a_group_opens_its_alarms() -> None:
    assert LETTERHEAD.link("G7") == "https://em.example.org/alarms?group=G7"
    assert LETTERHEAD.link("A7") == "https://em.example.org/alarms/A7"


def test_tests_and_faults_of_the_service_are_pages_too() -> None:
    assert notice(TEST, "Test page to Anna", letterhead=LETTERHEAD, at=ONSET_NS).subject == "demo TEST: ATMP Centre: Test page to Anna"
    fault = notice(SERVICE, "The journal cannot be written", letterhead=LETTERHEAD, at=ONSET_NS, do="Make room on the disk")
    assert fault.alarm == ""
    assert "Do: Make room on the disk\n" in fault.text
    assert "2026-11-21T07:41:10.25Z" in fault.text


def test_the_same_facts_give_the_same_bytes_and_survive_storage() -> None:
    assert encode(page()) == encode(page())
    assert decode(encode(page())) == page()
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"id": 1}')


def test_the_key_tells_pages_of_two_installations_apart() -> None:
    other = render(LOW, alarm="17", rule=PRESSURE, facility=FACILITY, letterhead=Letterhead("validation", FACILITY.site), at=page().at_ns)
    assert other.id == page().id
    assert other.key != page().key
    assert "Open:" not in other.text


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: raised, late, returned, test, service"):
        Page("1", "1", "nonsense", 0, "", "")


@given(
    names=st.tuples(st.text(max_size=300), st.text(max_size=300)),
    ids=st.tuples(st.text("abc.", min_size=1, max_size=200), st.text("abc.", min_size=1, max_size=200)),
    unit=st.sampled_from(["Pa", "µg/m³", "x" * 100]),
    value=NUMBERS,
)
def test_a_subject_is_one_line_that_fits_an_sms(names: tuple[str, str], ids: tuple[str, str], unit: str, value: float) -> None:
    facility = Facility(FACILITY.site, (Place(ids[0], names[0]),), (Point(ids[1], "temperature", unit, ids[0], name=names[1]),))
    excursion = Excursion("hot", ids[1], "action", ONSET_NS, ONSET_NS, peak=value, limit=25.0, unit=unit)
    told = render(excursion, alarm="1", rule=Rule("hot", "limit"), facility=facility, letterhead=LETTERHEAD, at=ONSET_NS)
    assert told.subject.isprintable()
    assert len(told.subject) <= (160 if set(told.subject) <= GSM_ALPHABET else 70)


@given(NUMBERS, NUMBERS, st.sampled_from([None, 0.001, 0.1, 5.0]))
def test_a_value_reads_on_the_same_side_of_its_limit_as_it_is(value: float, limit: float, resolution: float | None) -> None:
    assume(value != limit)
    shown, shown_limit = distinct(value, limit, resolution)
    assert float(shown_limit) == limit
    assert (float(shown) > limit) == (value > limit)
    assert float(shown) != limit


def test_numbers_and_spans_read_as_people_write_them() -> None:
    assert distinct(25.342, 25.0) == ("25.3", "25")
    assert distinct(24.999999, 25.0) == ("24.999999", "25")
    assert distinct(4210.0, 3520.0) == ("4210", "3520")
    assert distinct(0.0, 10.0, 0.1) == ("0", "10")
    assert [span(seconds * SECOND_NS) for seconds in (-1, 0, 59, 60, 3599, 3600, 90_000)] == [
        "0 s", "0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 d 1 h",
    ]  # fmt: skip
