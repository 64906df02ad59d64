from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from facility.document import parse_document
from facility.facility_file import load_facility
from facility.files import Files
from facility.site import Facility
from facility.sources.source_file import read_sources
from ingest.decode import Decoder
from ingest.message import Message
from service.cli import main
from service.discovery.guesses import measured, period, point_id
from service.discovery.heard import Heard
from service.discovery.sorted_out import Discovery, facility_lines, sort_out, sources_lines
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.shapes import MESSAGES, PRESSURE, READINGS, site, written

SECOND_NS = 10**9
OTHERS = (
    ("plant/a/B102/DP-B102/state", MESSAGES[0][1].replace(b"B101", b"B102")),
    ("env/1/air", b'{"temp":21.0,"rh":44}'),
    ("env/2/air", b'{"temp":22.5,"rh":45}'),
    ("renrum/lab/b101/b101.co2", b'{"time":"2026-11-21T07:41:10Z","value":5.1,"unit":"%"}'),
    ("renrum/lab/b999/b999.temp", b'{"time":"2026-11-21T07:41:10Z","value":20.1}'),
    ("renrum/lab/b101/dp-b101", b'{"time":"2026-11-21T07:41:10Z","value":14}'),
    ("spBv1.0/plant/NDATA/edge", b"\x08\x01"),
    ("camera/1", b"\xff\xd8\xff"),
)


def heard_of(*messages: tuple[str, bytes], every_s: int = 10, times: int = 3) -> Heard:
    heard = Heard()
    for round_ in range(times):
        for topic, payload in messages:
            heard.add(Message(topic, payload, 1), (round_ * every_s + 1) * SECOND_NS)
    return heard


def drafted(folder: Path, found: Discovery, facility: Facility | None) -> tuple[Facility, Decoder]:
    """The drafts put to use as they are: what they give must be a configuration without a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "site: {id: lab, name: Lab}\n"
    (folder / "facility.yaml").write_text(head + "\n".join(facility_lines(found, facility)))
    (folder / "sources.yaml").write_text("\n".join(sources_lines(found)) or "sources: []")
    new = load_facility(folder / "facility.yaml")
    read = read_sources(Files(folder), "sources.yaml", new)
    assert not read.problems, read.problems
    return new, Decoder(new, {point.id: number for number, point in enumerate(new.points)}, True, read.sources)


def test_the_drafts_of_the_four_shapes_work_as_they_are(tmp_path: Path) -> None:
    found = sort_out(heard_of(*MESSAGES, *OTHERS), None, ())
    facility, decoder = drafted(tmp_path, found, None)
    arrivals = decoder.decode([Message(topic, payload, 1) for topic, payload in MESSAGES], 10**18)
    assert not arrivals.quarantine
    assert sorted(arrivals.value) == sorted(value for _, _, value in READINGS)
    guessed = {point.id: (point.quantity, point.unit, point.period_ns) for point in facility.points}
    every = 10 * SECOND_NS
    assert guessed["DP-B101"] == ("differential_pressure", "Pa", every)
    assert guessed["PC-A03.0.5"] == ("particles_0_5um", "1/m3", every)
    assert guessed["PC-A03.5"] == ("particles_5_0um", "1/m3", every)
    assert guessed["AHU1.B101.RH"] == ("relative_humidity", "%", every)
    assert guessed["LN2-04.temp"] == ("temperature", "degC", every)
    assert guessed["LN2-04.level_pct"] == ("level", "%", every)
    text = "\n".join([*facility_lines(found, None), *sources_lines(found)])
    assert text.count("# guessed: quantity, unit, period") == len(facility.points)


def test_topics_that_look_alike_become_one_source_and_no_two_devices_one_point(tmp_path: Path) -> None:
    found = sort_out(heard_of(*MESSAGES, *OTHERS), None, ())
    by_topic = {name: draft for draft in found.drafts for name in draft.topics}
    assert by_topic[PRESSURE] is by_topic["plant/a/B102/DP-B102/state"]
    assert by_topic[PRESSURE].filters == ["plant/a/{level3}/{level4}/state"]
    assert by_topic["env/1/air"].filters == ["env/{level2}/air"]
    _, decoder = drafted(tmp_path, found, None)
    arrivals = decoder.decode([Message(topic, payload, 1) for topic, payload in OTHERS[1:3]], 10**18)
    assert len(set(arrivals.point)) == 4, "two devices without names in their payloads are told apart by their topics"


def test_what_is_configured_is_not_told(tmp_path: Path) -> None:
    facility, sources = site(tmp_path)
    found = sort_out(heard_of(*MESSAGES, *OTHERS, ("renrum/lab/$marker/renrum-lab", b"x")), facility, sources)
    assert found.configured == 6
    assert [(one.point, one.reason) for one in found.unknown] == [("b101.co2", "point_unknown"), ("b999.temp", "place_unknown")]
    assert [topic.name for topic in found.sparkplug] == ["spBv1.0/plant/NDATA/edge"]
    assert [topic.name for topic in found.others] == ["camera/1"]
    lines = facility_lines(found, facility)
    assert '      - {id: b101.co2, quantity: co2, unit: "%", period: 10s}  # guessed: quantity, unit, period' in lines
    assert "  - id: b101  # is there: add these points to it" in lines
    assert "  - id: b999  # a new room" in lines
    for draft in found.drafts:
        assert not any(
            filter == source_filter.subscription for filter in draft.filters for source in sources for source_filter in source.filters
        )
    nothing = sort_out(heard_of(*MESSAGES), facility, sources)
    assert nothing.nothing


@pytest.mark.parametrize(
    ("name", "unit", "quantity", "in_"),
    [
        ("AHU1.B101.T", "", "temperature", "degC"),
        ("room temp", "degF", "temperature", "degF"),
        ("x", "Pa", "differential_pressure", "Pa"),
        ("PC 0.5", "", "particles_0_5um", "1/m3"),
        ("PC 5", "", "particles_5_0um", "1/m3"),
        ("inc1.co2", "", "co2", "%"),
        ("Vibration X1", "", "x1", "1"),
        ("7", "", "quantity_7", "1"),
        ("temp", "Pa", "differential_pressure", "Pa"),
    ],
)
def test_guesses(name: str, unit: str, quantity: str, in_: str) -> None:
    guess = measured(name, unit)
    assert (guess.quantity, guess.unit) == (quantity, in_)


def test_periods_and_ids() -> None:
    assert [period(seconds) for seconds in (None, 0.1, 9.7, 61.0, 290.0, 3500.0)] == ["60s", "1s", "10s", "1m", "5m", "1h"]
    assert [point_id(name) for name in ("AHU1/B101 T", "occupancy", "#", "DP-1")] == ["AHU1.B101.T", "occupancy.1", "unnamed.1", "DP-1"]


LEVEL = st.text(st.characters(codec="utf-8", exclude_characters="/+#\0"), max_size=5)
ANY_TOPIC = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
KEY = st.text(max_size=4) | st.sampled_from(["id", "name", "v", "t", "temp", "unit", "q", "seq", "status", "n", "volume_l", "values", "um"])
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=5), max_leaves=15)


PAYLOAD = JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)


@settings(max_examples=60)
@given(st.lists(st.tuples(ANY_TOPIC, PAYLOAD), max_size=6))
@example([("//0", b"[]"), ("//", b'[[], {"0": false}]')])
@example([("0", b'[{"\\u0085": false}]')])
@example([("0", b'{"": [{"0": false}]}')])
@example([("1/00/0/0", b"{}"), ("1/00/0/0", b'{"1": 1}'), ("0/0/0/0", b'{"1": 1}')])
@example([("0", b'{"a b": [{"0": false}], "c": [{"1": 2}]}')])
def test_whatever_is_heard_drafts_are_a_configuration(tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, bytes]]) -> None:
    foreign = [(topic, payload) for topic, payload in said if not topic.startswith(("renrum/", "$"))]
    found = sort_out(heard_of(*foreign), None, ())
    drafted(tmp_path_factory.mktemp("any"), found, None)
    topics = [topic.name for topic in (*found.others, *found.sparkplug)] + [name for draft in found.drafts for name in draft.topics]
    assert sorted(topics) == sorted({topic for topic, _ in foreign}), "each topic is told once"


# Against a broker


@contextmanager
def publishing(port: int, *messages: tuple[str, bytes]) -> Iterator[None]:
    """Publishes again and again meanwhile."""
    stop = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("instruments", "secret")
    client.connect("127.0.0.1", port)
    client.loop_start()

    def work() -> None:
        while not stop.wait(0.2):
            for topic, payload in messages:
                client.publish(topic, payload, qos=1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


def discover(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["discover", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@needs_mosquitto
def test_the_command_needs_no_more_than_reading_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "acl").write_text("user reader\ntopic read #\nuser instruments\ntopic write #\n")
    for user in ("reader", "instruments"):
        flag = [] if (folder / "passwords").exists() else ["-c"]
        subprocess.run(["mosquitto_passwd", *flag, "-b", str(folder / "passwords"), user, "secret"], check=True)
    more = f"acl_file {folder}/acl\npassword_file {folder}/passwords"
    with Mosquitto(folder, more, anonymous=False) as broker:
        written(tmp_path / "site", broker=broker.url)
        monkeypatch.setenv("RENRUM_MQTT_PASSWORD", "secret")
        config = tmp_path / "site" / "renrum.yaml"
        config.write_text(config.read_text().replace("}", ", username: reader}", 1))
        with publishing(broker.port, *MESSAGES, *OTHERS):
            said = discover("--config", str(config), "--seconds", "1.5", "--json")
        assert said.exit_code == 0, said.output
        answer = json.loads(said.stdout)
        assert answer["configured"] == 6
        assert {one["topic"]: one["guessed"] and one["guessed"]["quantity"] for one in answer["unknown"]} == {
            "renrum/lab/b101/b101.co2": "co2", "renrum/lab/b999/b999.temp": "temperature",
        }  # fmt: skip
        assert {one["topic"] for one in answer["foreign"]} == {"env/1/air", "env/2/air"}
        assert not parse_document("sources.yaml", answer["sources_yaml"])[1]
        with publishing(broker.port, *MESSAGES, *OTHERS):
            said = discover("--config", str(config), "--seconds", "1", "--topic", "env/#")
        assert "messages on 2 topics" in said.stdout
        assert 'topic: "env/{level2}/air"' in said.stdout
        said = discover(
            "--url", f"mqtt://reader@127.0.0.1:{broker.port}", "--config", str(config), "--seconds", "0.5", "--topic", "quiet/#"
        )
        assert "Nothing was heard" in said.stdout
        time.sleep(0.2)
        log = (folder / "log").read_text()
        assert "renrum-discover-" in log
        assert "Denied PUBLISH from renrum-discover" not in log


def test_a_broker_that_is_not_there_ends_with_words(tmp_path: Path) -> None:
    written(tmp_path, "")
    said = discover("--config", str(tmp_path / "renrum.yaml"), "--seconds", "0.2")
    assert said.exit_code == 2
    assert "127.0.0.1:1 cannot be reached" in said.output
