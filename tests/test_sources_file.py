from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.document import parse_document
from facility.facility_file import load_facility
from facility.files import Files
from facility.sources.filters import parse_filter
from facility.sources.paths import ABSENT, parse_path, parse_template
from facility.sources.source import subscriptions
from facility.sources.source_file import SourcesRead, read_sources
from ingest.decode import Decoder
from service.cli.schema import schema_of
from service.configuration.configuration import sources_from_entry
from tests.support.shapes import FACILITY, READINGS, SOURCES, messages, written

READING, TAG_X = "sources[0].readings[0]", "sources[0].points.X"


def read(folder: Path, text: str) -> SourcesRead:
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "sources.yaml").write_text(text)
    return read_sources(Files(folder), "sources.yaml", load_facility(folder / "facility.yaml"))


def source(keys: str, readings: str = "{point: b101.temp, value: $.v}", id_: str = "one") -> str:
    return f"  - id: {id_}\n    kind: json\n" + "".join(f"    {key}\n" for key in keys.split("\n")) + f"    readings:\n      - {readings}\n"


def test_the_four_shapes_are_read_without_a_word(tmp_path: Path) -> None:
    found = read(tmp_path, SOURCES)
    assert not found.problems
    assert not found.warnings
    assert [source.id for source in found.sources] == ["pressure", "counters", "bms", "lorawan"]
    assert subscriptions(found.sources) == ("plant/+/+/+/state", "counters/+", "scada/gw1/tags", "application/+/device/+/event/up")
    assert set.union(*(set(source.points) for source in found.sources)) == {
        "dp-b101", "b101.temp", "b101.rh", "bsc1.p05", "bsc1.p50", "ln2-04.temp", "ln2-04.level",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        (source("topic: a/{room\ntime: $.t"), 4, "sources[0].topic", "{name} for a whole level"),
        (source("topic: a/b+\ntime: $.t"), 4, "sources[0].topic", "+ and # as whole levels only"),
        (source("topic: $share/g/a\ntime: $.t"), 4, "sources[0].topic", "no shared subscription"),
        (source("topic: a\ntime: t"), 5, "sources[0].time.path", "a path such as $.metrics.dp"),
        (source("topic: a\ntime: {path: $.t, formt: iso}"), 5, "sources[0].time.formt", "Did you mean format?"),
        (source("topic: a\ntime: {path: $.t, format: '%d.%m.%Y'}"), 5, "sources[0].time", "a zone, or %z"),
        (source("topic: a"), 6, READING, "received"),
        (source("topic: a\ntime: $.t", "{point: b101.tmp, value: $.v}"), 7, READING + ".point", "Did you mean b101.temp?"),
        (source("topic: a\ntime: $.t", "{point: b101.temp, value: .v}"), 7, READING + ".value", "there is no `each`"),
        (source("topic: a\ntime: $.t", "{point: b101.temp, value: $.v, unit: Pa}"), 7, READING + ".unit", "b101.temp is in degC"),
        (source("topic: a\ntime: $.t", "{point: b101.temp, count: $.v, volume: 28.3}"), 7, READING + ".count", "temperature"),
        (source("topic: a\ntime: $.t", "{point: b101.temp, count: $.v}"), 7, READING, "`count` and `volume` together"),
        (source("topic: a\ntime: $.t", '{point: "{dev}.temp", value: $.v}'), 7, READING + ".point", "a level that a captures"),
        (source("topic: a/{dev}\ntime: $.t", '{point: "{dve}.temp", value: $.v}'), 7, READING + ".point", "Did you mean dev?"),
        (source("topic: a/{dev}\ntime: $.t", '{point: "{dev}.co2", value: $.v}'), 7, READING + ".point", "becomes the id"),
        (source("topic: a\ntime: $.t", "{point: {.id}, value: $.v}"), 7, READING + ".point", "needs quotes"),
        (source("topic: a\ntime: $.t\npoints: {X: b101.temp}", "{point: Y, value: $.v}"), 8, READING + ".point", "a name in `points`"),
        (source("topic: a\ntime: $.t\npoints: {X: b101.tmep}", "{point: X, value: $.v}"), 6, TAG_X, "Did you mean b101.temp?"),
        (source("topic: a\ntime: $.t\npoints: {X: {point: b101.rh, unit: Pa}}", "{point: X, value: $.v}"), 6, TAG_X, "b101.rh is in %"),
        (source("topic: a\ntime: $.t\nquality: {path: $.q}"), 6, "sources[0].quality", "`codes`, or lists"),
        (source("topic: a\ntime: $.t\nquality: {path: $.q, good: [1], bad: [1]}"), 6, "sources[0].quality", "each status in one list"),
        (source("topic: a\ntime: $.t\nkind2: x"), 6, "sources[0].kind2", "unknown key"),
        (source("topic: '#'\ntime: $.t"), 4, "sources[0].topic", "which Renrum reads itself"),
        (source("topic: renrum/lab/+/x\ntime: $.t"), 4, "sources[0].topic", "which Renrum reads itself"),
        (source("topic: [a/+, a/b]\ntime: $.t"), 4, "sources[0].topic", "which overlaps 'a/+'"),
        (source("topic: a/+\ntime: $.t") + source("topic: +/b\ntime: $.t", id_="two"), 10, "sources[1].topic", "overlaps 'a/+' of one in"),
        (source("topic: a\ntime: $.t") + source("topic: b\ntime: $.t"), 8, "sources[1].id", "each source id once"),
        ("  - {id: x, kind: jsn}\n", 2, "sources[0].kind", "Did you mean json?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    problems = read(tmp_path, "sources:\n" + text).problems
    told = [problem for problem in problems if problem.key == key and words in str(problem)]
    assert told, problems
    assert told[0].line == line
    assert told[0].file.endswith("sources.yaml")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = source("topic: a/{x\ntime: t") + source("topic: b\ntime: $.t", "{point: nowhere, value: $.v, unit: 3}", "two")
    text += source("topic: c", "{point: b101.temp, value: $.v}", "three") + source("topic: +\ntime: $.t", id_="four")
    keys = {problem.key for problem in read(tmp_path, f"sources:\n{text}").problems}
    assert keys == {
        "sources[0].topic", "sources[0].time.path", "sources[1].readings[0].point", "sources[1].readings[0].unit",
        "sources[2].readings[0]", "sources[3].topic",
    }  # fmt: skip


def test_what_cannot_be_exact_and_what_is_left_out_is_a_warning(tmp_path: Path) -> None:
    text = source("topic: a\ntime: received\nqos: 0") + source("topic: b\ntime: $.t", id_="two")
    warnings = [str(warning) for warning in read(tmp_path, f"sources:\n{text}").warnings]
    assert any("QoS 0" in warning and "a message that comes again is a new reading" in warning for warning in warnings)
    assert any("2 points that no source feeds: dp-b101, b101.rh;" in warning for warning in warnings)
    assert any("b101.temp, which one and two feed" in warning for warning in warnings)


def test_rooms_without_any_source_report_themselves_and_need_no_warning(tmp_path: Path) -> None:
    found = read(tmp_path, "sources:\n" + source("topic: a\ntime: $.t", "{point: ln2-04.temp, value: $.v}"))
    (warning,) = found.warnings
    assert "ln2-04.level, which no source feeds" in str(warning)  # its neighbour's source forgot it, it seems


def test_a_table_of_points_may_be_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("name,point,unit,scale\nT1,b101.temp,degF,0.1\nH1,b101.rh,,\n")
    text = source("topic: a\ntime: $.t\npoints_file: tags.csv", '{point: "{.id}", each: $.values, value: .v}')
    assert read(tmp_path, f"sources:\n{text}").sources[0].points == {"b101.temp", "b101.rh"}
    (tmp_path / "tags.csv").write_text("name,point,unit,scale\nT1,b101.temp,Pa,x\nT1,b101.hr,,\n")
    problems = read(tmp_path, f"sources:\n{text}").problems
    assert [(problem.file.endswith("tags.csv"), problem.line) for problem in problems] == [(True, 2), (True, 2), (True, 3), (True, 3)]


def test_editors_check_the_file_by_its_schema() -> None:
    schema = schema_of("sources")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    value = json.loads(json.dumps(parse_document("sources.yaml", SOURCES)[0].value))
    assert not list(validator.iter_errors(value))
    del value["sources"][0]["topic"]
    value["sources"][1]["readings"][0]["optional"] = "maybe"
    assert len(list(validator.iter_errors(value))) == 2


def test_the_mapping_is_part_of_what_is_in_force_and_judges_nothing(tmp_path: Path) -> None:
    before = written(tmp_path, "")
    after = written(tmp_path)
    assert after.judging_hash == before.judging_hash
    assert after.as_entry() != before.as_entry()
    entry = json.loads(json.dumps(after.as_entry()))
    assert entry["files"]["sources.yaml"] == SOURCES
    assert [source.filters for source in sources_from_entry(entry, after.facility)] == [source.filters for source in after.sources]
    assert "sources" not in before.as_entry()


def test_the_documented_mappings_are_right(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / "sources.md").read_text()
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "kind: json" in block]
    assert len(blocks) == 4
    (tmp_path / "tags.csv").write_text("name,point\nAHU1.B101.T,b101.temp\nAHU1.B101.RH,b101.rh\n")
    found = read(tmp_path, "".join(blocks).replace("cp1.dp1.dp", "dp-b101"))
    assert not found.problems
    facility = load_facility(tmp_path / "facility.yaml")
    decoder = Decoder(facility, {point.id: number for number, point in enumerate(facility.points)}, True, found.sources)
    assert sorted(decoder.decode(messages()).value) == sorted(value for _, _, value in READINGS)


LEVEL = st.sampled_from(["a", "b", "+", "{x}", "{y}"])


@given(st.lists(LEVEL, min_size=1, max_size=4), st.lists(LEVEL, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_filters_overlap_exactly_when_a_topic_matches_both(first: list[str], second: list[str], open_: bool, wide: bool) -> None:
    def parsed(levels: list[str], end: bool) -> str:
        unique = [level if levels.index(level) == place or "{" not in level else "+" for place, level in enumerate(levels)]
        return "/".join([*unique, "#"] if end else unique)

    one, other = parse_filter(parsed(first, open_)), parse_filter(parsed(second, wide))
    topics = [""]
    for _ in range(5):
        topics += [f"{topic}/{level}".lstrip("/") for topic in topics for level in ("a", "b", "c")]
        topics = list(dict.fromkeys(topics))
        if len(topics) > 400:
            break
    both = any(one.match(topic) is not None and other.match(topic) is not None for topic in topics if topic)
    assert one.overlaps(other) == other.overlaps(one)
    assert both == one.overlaps(other)


def test_wildcards_at_the_front_leave_the_brokers_own_topics_alone() -> None:
    assert parse_filter("#").match("$SYS/uptime") is None
    assert parse_filter("+/x").match("$SYS/x") is None
    assert not parse_filter("#").overlaps(parse_filter("$SYS/#"))
    assert parse_filter("a/#").match("a") == {}
    assert parse_filter("plant/{room}/+/{dev}").match("plant/r/x/d") == {"room": "r", "dev": "d"}


def test_paths_name_one_place() -> None:
    message = {"a": {"b c": [{"d": 1}, {"d": None}]}, "x.y": 2}
    for text, found in (("$.a['b c'][0].d", 1), ("$.a['b c'][-1].d", None), ('$["x.y"]', 2), ("$", message)):
        assert parse_path(text).find(message, None) == found
    for text in ("$.a.e", "$.a['b c'][2]", "$.a[0]", "$.x.y", ".q"):
        assert parse_path(text).find(message, {}) is ABSENT
    assert parse_path("@.v").find(message, {"v": 3}) == parse_path(".v").find(message, {"v": 3}) == 3
    for text in ("a", "", "$a", "$.", "$..a", "$.*", "$[?(@.x)]", "$.a[", "$.a b"):
        with pytest.raises(ValueError, match="a path such as"):
            parse_path(text)
    with pytest.raises(ValueError, match="places"):
        parse_template("a{b")
