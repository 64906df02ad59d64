"""The trend of a page: drawn from what is stored, left out where it cannot be, beside the text of a mail."""

from __future__ import annotations

import io
import logging
import threading
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image

from alerts.channels import Email, Local
from alerts.pages.page import Page
from alerts.pages.trend import HEIGHT, WIDTH, Picture, Trend, picture
from dashboards.views import Columns
from service.pages import trend_pictures as trends
from service.pages.trend_pictures import Trends
from tests.support.pages import ONSET_NS, SECOND_NS, page
from tests.support.smtp import smtp_server
from tests.support.watched import HandClock

HERE = ZoneInfo("Europe/Stockholm")
MINUTE_NS = 60 * SECOND_NS
LIMIT, LINE = (200, 52, 43), (31, 95, 168)
BEGIN_NS = ONSET_NS - 120 * MINUTE_NS


def falling(count: int = 240) -> Trend:
    """From 15 to 9 Pa in two hours and five minutes."""
    time = np.linspace(BEGIN_NS, ONSET_NS + 5 * MINUTE_NS, count).astype(np.int64)
    return Trend(time, np.linspace(15.0, 9.0, count), BEGIN_NS, ONSET_NS + 5 * MINUTE_NS, ONSET_NS, 10.0, "Pa", HERE)


def pixels(drawn: Picture | None, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of a colour."""
    assert drawn is not None
    image = Image.open(io.BytesIO(drawn.png))
    assert (image.format, image.size) == ("PNG", (WIDTH, HEIGHT))
    return np.argwhere((np.asarray(image.convert("RGB")) == colour).all(axis=2))


def test_a_picture_shows_readings_and_the_limit() -> None:
    drawn = picture(falling())
    line, limit = pixels(drawn, LINE), pixels(drawn, LIMIT)
    assert line[line[:, 1].argmin(), 0] < limit[:, 0].min(), "it began above the limit"
    assert line[line[:, 1].argmax(), 0] > limit[:, 0].max(), "it ends below"
    assert drawn is not None
    assert drawn.words == "Trend from 06:41 to 08:46: between 9.0 and 15.0 Pa, at last 9.0 Pa; limit 10 Pa".replace(".0", "")
    assert len(drawn.png) < 10_000


def test_its_words_are_in_the_language_of_the_page() -> None:
    trend = falling()
    drawn = picture(replace(trend, value=trend.value + 0.55), "sv")
    assert drawn is not None
    assert drawn.words == "Trend från 06:41 till 08:46: mellan 9,6 och 15,6 Pa, sist 9,6 Pa; gräns 10 Pa"


def test_no_line_is_drawn_where_readings_are_missing() -> None:
    trend = falling()
    kept = (trend.time < BEGIN_NS + 30 * MINUTE_NS) | (trend.time > BEGIN_NS + 90 * MINUTE_NS)
    columns = np.unique(pixels(picture(replace(trend, time=trend.time[kept], value=trend.value[kept])), LINE)[:, 1])
    assert np.diff(columns).max() > 200


def test_of_many_readings_no_peak_is_lost() -> None:
    trend = falling(50_000)
    value = np.full(50_000, 12.0)
    value[25_000] = 40.0
    line = pixels(picture(replace(trend, value=value)), LINE)
    assert line[:, 0].min() < 50


@pytest.mark.parametrize("value", [[], [5.0], [np.nan, np.nan, 4.0]])
def test_too_few_readings_are_no_picture(value: list[float]) -> None:
    time = BEGIN_NS + np.arange(len(value), dtype=np.int64)
    assert picture(replace(falling(), time=time, value=np.array(value))) is None


def test_one_value_without_a_limit_is_a_picture_too() -> None:
    trend = falling()
    drawn = picture(replace(trend, value=np.zeros(240), limit=None))
    assert len(pixels(drawn, LINE))
    assert not len(pixels(drawn, LIMIT))


# In mails

ANNA = "anna@site.test"


def mail(port: int, of: Trends) -> Email:
    channel = of.dressed(Email("127.0.0.1", port, "em@site.test", ANNA, "none"))
    assert isinstance(channel, Email)
    return channel


def stored(trend: Trend) -> Columns:
    times = trend.time.tolist()
    return Columns("Pa", times, trend.value.tolist(), ["good"] * len(times), times)


def clock() -> HandClock:
    found = HandClock()
    found.at = ONSET_NS + 5 * MINUTE_NS
    return found


def test_a_mail_shows_the_trend_beside_its_text() -> None:
    asked: list[object] = []

    def readings(*what: object) -> Columns:
        asked.append(what)
        return stored(falling())

    with smtp_server() as server, server.collector as collector:
        collector.expect(ANNA, "17-raised")
        mail(server.port, Trends(readings, HERE, clock())).send(page())
    ((_, message),) = server.mails
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n") == page().text
    assert 'alt="Trend from 06:41 to 08:46' in html.get_content()
    (image,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    assert image["Content-ID"] == "<trend>"
    assert Image.open(io.BytesIO(image.get_payload(decode=True))).size == (WIDTH, HEIGHT)  # type: ignore[arg-type]
    assert asked == [("cp1.dp", BEGIN_NS, ONSET_NS + 5 * MINUTE_NS, trends.READINGS_MAX)]


def test_a_picture_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def readings(*what: object) -> Columns:
        raise OSError(5, "Input/output error")

    with smtp_server() as server, server.collector as collector, caplog.at_level(logging.WARNING):
        collector.expect(ANNA, "17-raised")
        mail(server.port, Trends(readings, HERE, clock())).send(page())
    assert server.mails[0][1].get_content_type() == "text/plain"
    assert "page 17-raised goes without its trend: OSError" in caplog.text


def test_a_page_does_not_wait_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trends, "PATIENCE_S", 0.1)
    held = threading.Event()

    def readings(*what: object) -> Columns:
        held.wait(60)
        return stored(falling())

    with smtp_server() as server, server.collector as collector:
        collector.expect(ANNA, "17-raised")
        mail(server.port, Trends(readings, HERE, clock())).send(page())
        assert not held.is_set()
    held.set()
    assert server.mails[0][1].get_content_type() == "text/plain"


def test_bad_readings_and_pages_without_a_point_have_none() -> None:
    bad = replace(stored(falling()), quality=["bad"] * 240)
    assert Trends(lambda *_: bad, HERE, clock()).of(page()) is None
    assert Trends(lambda *_: None, HERE, clock()).of(page()) is None
    assert Trends(lambda *_: stored(falling()), HERE, clock()).of(Page("test-1", "", "test", 0, "s", "t")) is None


def test_other_channels_are_as_they_were(tmp_path: object) -> None:
    channel = Local(tmp_path)  # type: ignore[arg-type]
    assert Trends(lambda *_: None, HERE, clock()).dressed(channel) is channel
