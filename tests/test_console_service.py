"""The console before a real service: every page from what is journalled and stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dashboards.app import build_app
from dashboards.trend import bucketed
from facility.reading import BAD, Readings
from ingest.journal.entries import CONFIGURATION, ConfigurationBody
from service.configuration.configuration import load_configuration
from tests.support.watched import MINUTE, Watched, fall


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(tmp_path_factory.mktemp("site"))
    fall(watched, 8.0)
    yield watched
    watched.close()


@pytest.fixture(scope="module")
def client(site: Watched) -> Iterator[TestClient]:
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        yield client


@pytest.mark.parametrize(
    "path",
    ["/", "/alarms", "/alarms/A1", "/excursions", "/oncall", "/audit", "/audit.csv", "/health", "/kpis", "/configuration", "/people"],
)
def test_each_page_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


def test_a_room_shows_what_was_read_with_its_limit_and_the_excursion(site: Watched, client: TestClient) -> None:
    excursion = client.get("/api/v1/excursions").json()["excursions"][0]
    page = client.get(f"/rooms/{excursion['room']}?span=h1").text
    assert '<polygon class="area"' in page
    assert 'class="limit-line level-action"' in page or 'class="limit-line level-alert"' in page
    assert '<rect class="excursion' in page
    assert "least 8.0" in page
    one = client.get(f"/excursions/{excursion['id']}").text
    assert "<figure" in one
    assert excursion["rule"] in one


def test_an_alarm_shows_what_happened_to_it_and_the_configuration_what_is_in_force(site: Watched, client: TestClient) -> None:
    client.post("/api/v1/alarms/A1/acknowledge", json={"by": "Karin Ek", "comment": "seen"})
    history = client.get("/alarms/A1").text
    assert re.search(r"<strong>Acknowledged</strong> · Karin Ek · <q>seen</q>", history)
    assert "Karin Ek" in history
    page = client.get("/configuration").text
    assert site.monitor.identity.config in page
    assert "The first configuration." in page
    assert page == client.get("/configuration").text, "and again, from what is kept"


def test_an_excursion_is_drawn_with_the_limits_that_it_was_judged_by(tmp_path: Path) -> None:
    site = Watched(tmp_path)
    fall(site, 8.0, 15.0)
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("below: 10,", "below: 11,"), "utf-8")
    later = load_configuration(tmp_path / "renrum.yaml", {})
    site.clock.turn(20 * MINUTE)
    site.append(CONFIGURATION, ConfigurationBody(later.judging_hash, 1, {}, later.as_entry(), reason="qualified anew"))
    site.monitor.show(site.monitor.prepared(later, site.number_of))
    fall(site, 8.0)
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        (old,) = (one for one in client.get("/api/v1/excursions").json()["excursions"] if one["level"] == "action" and one["ended"])
        page, room = client.get(f"/excursions/{old['id']}").text, client.get("/rooms/cp1?span=h1").text
    assert "action limit below 10.0" in _captions(page)
    assert "action limit below 11.0" not in _captions(page)
    assert "action limit below 11.0" in _captions(room), "of a room those at the end of what is shown"
    lines = re.findall(r'<line class="limit-line level-action" x1="([\d.]+)%" x2="([\d.]+)%" y1="([\d.]+)%', page)
    assert len({y for _, _, y in lines}) == 2, "both are drawn, each as long as it was in force"
    site.close()


def _captions(page: str) -> str:
    text = re.sub(r"<[^>]+>", "", " ".join(re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)))
    return re.sub(r"\s+", " ", text.replace("&nbsp;", " "))


def test_the_record_of_an_excursion_names_its_alarm_and_who_acknowledged_it(tmp_path: Path) -> None:
    site = Watched(tmp_path)
    fall(site, 8.0)
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        excursion = next(one["id"] for one in client.get("/api/v1/excursions").json()["excursions"] if one["level"] == "action")
        alarm = client.get(f"/api/v1/excursions/{excursion}").json()["alarm"]
        assert (found := site.monitor.alarm(alarm)) is not None
        assert found.excursion == excursion
        client.post(f"/api/v1/excursions/{excursion}/comment", json={"by": "Ola Berg", "comment": "on my way"})
        client.post(f"/api/v1/alarms/{alarm}/acknowledge", json={"by": "Karin Ek", "comment": "door <open>"})
        (said,) = client.get(f"/api/v1/excursions/{excursion}").json()["acknowledgements"]
        assert (said["by"], said["comment"]) == ("Karin Ek", "door <open>")
        page = client.get(f"/excursions/{excursion}").text
    assert f'<a href="/alarms/{alarm}"><code>{alarm}</code></a> · Acknowledged' in page
    assert re.search(
        r"<strong>Comment</strong> · Ola Berg.*<strong>Alarm acknowledged</strong> · Karin Ek.*door &lt;open&gt;", page, re.DOTALL
    )
    site.close()


@given(
    st.lists(st.tuples(st.integers(0, 9_999), st.floats(-1e6, 1e6) | st.just(float("nan")), st.integers(0, 2)), max_size=60),
    st.integers(1, 50), st.integers(1, 60), st.lists(st.integers(0, 60), max_size=3),
)  # fmt: skip
def test_buckets_keep_the_least_and_the_most_of_all_readings(
    rows: list[tuple[int, float, int]], number: int, by: int, cuts: list[int]
) -> None:
    rows = sorted({row[0]: row for row in rows}.values())
    time, value = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float64)
    n, quality = len(rows), np.array([row[2] for row in rows], np.uint8)
    readings = Readings(np.zeros(n, np.uint32), time, value, quality, time, time, np.full(n, -1, np.int64))
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    found = bucketed([readings.take(slice(low, high)) for low, high in pairwise(edges)], 0, 10_000, number)
    for buckets in (found, found.joined(by)):
        assert int(buckets.count.sum() + buckets.bad.sum()) == n
        for row in range(len(buckets)):
            low = row * buckets.width_ns
            inside = (time >= low) & (time < low + buckets.width_ns)
            fine = value[inside & (quality != BAD) & np.isfinite(value)]
            assert buckets.count[row] == len(fine)
            if len(fine):
                assert (buckets.least[row], buckets.most[row]) == (fine.min(), fine.max())
                assert fine.min() <= buckets.mean[row] <= fine.max()
            else:
                assert np.isnan(buckets.mean[row])
