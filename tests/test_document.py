"""facility/document.py: YAML 1.2 that knows its lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from facility.document import Document, key_text, parse_document, shown
from facility.problems import Problem


def parsed(text: str) -> Document:
    document, problems = parse_document("f.yaml", text)
    assert not problems
    return document


def problems_of(text: str) -> list[Problem]:
    return parse_document("f.yaml", text)[1]


def test_values_are_those_of_yaml_1_2() -> None:
    text = 'a: [yes, on, 1_000, 010, 0o10, 0x1F, 1e3, .5, -.inf, ~, null, true, "12", 12:30:00, 2026-11-21T07:41:10Z, 3520, +3]'
    expected = ["yes", "on", "1_000", 10, 8, 31, 1000.0, 0.5, float("-inf"), None, None, True, "12", "12:30:00"]
    expected += ["2026-11-21T07:41:10Z", 3520, 3]
    assert parsed(text).value["a"] == expected


def test_every_value_knows_its_line() -> None:
    document = parsed("a: 1\nb:\n  - c: 2\n    d: 3\n  - {e: 4,\n     f: 5}\n")
    assert [document.position(path)[1] for path in [("a",), ("b", 0, "c"), ("b", 0, "d"), ("b", 1), ("b", 1, "f"), ("b", 1, "zzz", 3)]] == [
        1, 3, 4, 5, 6, 5,
    ]  # fmt: skip


def test_anchors_merge_and_what_holds_them_is_left_out() -> None:
    document = parsed("x-common: &c {unit: Pa, period: 10s}\na: {<<: *c, unit: kPa}\nb: *c\n")
    assert document.value == {"a": {"unit": "kPa", "period": "10s"}, "b": {"unit": "Pa", "period": "10s"}}
    assert document.position(("a", "unit")) == ("f.yaml", 2)
    assert document.position(("a", "period")) == ("f.yaml", 1)


def test_a_key_given_twice_is_a_problem() -> None:
    (problem,) = problems_of("site: 1\nroom:\n  id: a\n  id: b\n")
    assert str(problem) == "f.yaml:4: room.id: found the key 'id' again, first given in line 3; allowed: each key once."


def test_faults_name_their_line() -> None:
    assert problems_of("a: 1\nb: [1, 2\nc: 3\n")[0].line == 3
    (tab,) = problems_of("a:\n\tb: 1\n")
    assert tab.line == 2
    assert "blanks" in tab.hint
    assert problems_of("a: \x00\n")[0].line == 1
    assert problems_of("- a\n- b\n")[0].allowed == "a mapping of keys to values"
    assert problems_of("a: *nowhere\n")
    assert problems_of("a: !!python/object:os.system x\n")[0].allowed == "values without tags"


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert parsed("").value == {}
    assert parsed("# nothing\n").value == {}


def test_aliases_cannot_fill_the_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "values" in problems_of(bomb)[0].allowed
    assert problems_of("a: &a [*a]\n")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    document, problems = parse_document("f.yaml", text)
    assert isinstance(document.value, dict)
    assert all(problem.file == "f.yaml" for problem in problems)


def test_paths_and_values_are_shown_for_people() -> None:
    assert key_text(("rooms", 0, "points", 2, "unit")) == "rooms[0].points[2].unit"
    assert shown("mqtt://me:hunter2@host") == "'mqtt://***@host'"
    assert shown(None) == "nothing"
    assert len(shown("x" * 500)) < 100
