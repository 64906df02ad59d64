"""Line protocol: what is written says what was meant, and nothing else."""

from __future__ import annotations

import math
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from historian.lines import Batch, head, heads, id_of, line, reading_lines
from historian.schema import ALARM, EXCURSION, READING
from historian.windows import MINUTE_NS, summed_up, window_batches
from tests.support.fed import readings_of
from tests.support.influx import Influx, influx_server

__all__ = ["influx_server"]

_ID = st.from_regex(r"[^\s/+#*?\[\]$\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,20}", fullmatch=True)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
_NS = st.integers(-(2**63) + 2, 2**63 - 2)
_FLOAT = st.floats(allow_nan=False, allow_infinity=False)


def parsed(text: str) -> tuple[str, dict[str, str], dict[str, object], int]:
    """One line, read as the specification says: measurement, tags, fields, time."""
    # Quotes mean something in fields only.
    end = re.match(r"(?:\\[,= ]|[^ ])*", text, re.DOTALL)
    assert end is not None
    key, rest = end[0], text[end.end() + 1 :]
    fields, _, time = rest.rstrip("\n").rpartition(" ")
    measurement, *tags = re.split(r"(?<!\\),", key)
    values: dict[str, object] = {}
    for name, word in re.findall(r'([a-z_]+)=("(?:\\.|[^"\\])*"|[^,]*),?', fields, re.DOTALL):
        if word.startswith('"'):
            values[name] = re.sub(r"\\([\"\\])", r"\1", word[1:-1])
        elif word in ("true", "false"):
            values[name] = word == "true"
        else:
            values[name] = int(word[:-1]) if word.endswith("i") else float(word)
    pairs = [re.split(r"(?<!\\)=", tag) for tag in tags]
    return measurement, {name: re.sub(r"\\([,= ])", r"\1", value) for name, value in pairs}, values, int(time)


@given(point=_ID, site=_ID, value=_FLOAT, quality=st.integers(0, 7), received=_NS, time=_NS)
def test_a_reading_written_by_columns_says_what_it_is(point: str, site: str, value: float, quality: int, received: int, time: int) -> None:
    batch = reading_lines(heads(READING, ["", point], site), readings_of([1], time, value, quality, received))
    name, tags, fields, at = parsed(batch.text.decode())
    assert (name, at) == ("reading", time)
    assert {key: id_of(text) for key, text in tags.items()} == {"point": point, "site": site}
    assert math.copysign(1, value) == math.copysign(1, float(str(fields["value"])))
    assert fields == {"value": value, "quality": min(quality, 2), "received": received}


@given(st.lists(st.tuples(st.integers(0, 2), _NS, st.floats(), st.integers(0, 6), _NS), max_size=30))
def test_every_reading_is_one_line_and_one_without_a_finite_value_has_none(rows: list[tuple[int, int, float, int, int]]) -> None:
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), ()]
    batch = reading_lines(heads(READING, ["a", "b", "c"], "s"), readings_of(*columns))
    lines = batch.lines()
    assert batch.count == len(lines) == len(rows)
    assert b"".join(lines) == batch.text
    found = sorted((tags["point"], time, str(fields.get("value"))) for _, tags, fields, time in (parsed(each.decode()) for each in lines))
    assert found == sorted(("abc"[p], t, str(v) if math.isfinite(v) else "None") for p, t, v, _, _ in rows)


@given(point=_ID, rule=_ID, comment=_TEXT, actor=_TEXT, time=_NS)
def test_texts_come_back_whatever_stands_in_them(point: str, rule: str, comment: str, actor: str, time: int) -> None:
    written = line(ALARM, {"point": point, "rule": rule, "site": "s"}, {"comment": comment, "actor": actor}, time).decode()
    name, tags, fields, at = parsed(written)
    assert (name, at, fields) == ("alarm", time, {"actor": actor, "comment": comment})
    assert {key: id_of(text) for key, text in tags.items()} == {"point": point, "rule": rule, "site": "s"}


def test_fields_that_are_none_or_no_number_are_left_out() -> None:
    tags = {"point": "p", "revision": "0", "rule": "r", "site": "s"}
    written = line(EXCURSION, tags, {"peak": math.nan, "limit": None, "late": False, "readings": 3}, 7)
    assert written == b"excursion,point=p,revision=0,rule=r,site=s readings=3i,late=false 7\n"
    assert head(EXCURSION, tags) == "excursion,point=p,revision=0,rule=r,site=s "


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-3, 3 * 60), st.one_of(_FLOAT, st.just(math.nan)), st.integers(0, 6)),
        max_size=40,
        unique_by=lambda row: row[:2],
    )
)
def test_windows_are_what_a_plain_computation_gives(rows: list[tuple[int, int, float, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[:2])
    points, seconds, values, qualities = list(zip(*rows, strict=True)) or [(), (), (), ()]
    found = summed_up(readings_of(points, np.array(seconds, np.int64) * 10**9, values, qualities), MINUTE_NS)
    expected: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for point, second, value, quality in rows:
        expected.setdefault((point, second // 60), []).append((value, quality))
    assert [(int(p), int(s) // MINUTE_NS) for p, s in zip(found.point, found.start, strict=True)] == list(expected)
    for index, held in enumerate(expected.values()):
        sound = [value for value, quality in held if quality < 2 and math.isfinite(value)]
        assert (found.total[index], found.count[index]) == (len(held), len(sound))
        assert found.worst[index] == min(max(quality for _, quality in held), 2)
        if not sound:
            assert math.isnan(found.mean[index])
            continue
        assert (found.low[index], found.high[index]) == (min(sound), max(sound))
        assert found.low[index] <= found.mean[index] <= found.high[index]
        if abs(sum(sound)) < 1e300 and max(map(abs, sound)) < 1e300:
            assert found.mean[index] == min(max(math.fsum(sound) / len(sound), min(sound)), max(sound))
    text = b"".join(batch.text for batch in window_batches(heads(READING, ["a", "b"], "s"), found, 7))
    assert text.count(b"\n") == len(expected)


def test_a_real_server_gives_back_bit_for_bit_what_was_written(influx_server: Influx) -> None:
    hard = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 1e17 + 16, -123456789.123456789, 2.5e-7, 1 / 3, 21.0]
    point = 'a,b=c"d\\'
    time = np.arange(len(hard)) + 1_763_700_000_123_456_789
    batch = reading_lines(heads(READING, [point], "s"), readings_of(0, time, hard, 1, time + 1))
    comment = 'he said "no"\nand\\or, = \t left åäö'
    influx_server.write(batch.text.decode() + line(ALARM, {"point": point, "rule": "r", "site": "s"}, {"comment": comment}, 1).decode())
    flux = 'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field == "{}") |> sort(columns: ["_time"])'
    rows = influx_server.query(flux.format("value"))
    assert [float(row["_value"]).hex() for row in rows] == [value.hex() for value in hard]
    assert {id_of(row["point"]) for row in rows} == {point}
    assert [row["_value"] for row in influx_server.query(flux.format("comment"))] == [comment]
    assert Batch.of([]).count == 0
