"""What the console shows of alarms, points and records, and how: what stands, what nobody is told of, forms that are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, RETURNED, UNACKNOWLEDGED
from dashboards.console import overview as overview_page
from dashboards.monitor import ACCEPTED, REFUSED, ActAnswered
from dashboards.views import AuditEntry, Check, Health, OutOfService, Shelf
from tests.support.monitor import NOW, FakeMonitor, alarm, excursion
from tests.support.people import HTML, Staff, client_of, somebody, staff_in


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


def many(monitor: FakeMonitor, number: int, room_point: str = "cp2.dp", **more: object) -> None:
    for id in (f"g{n}" for n in range(number)):
        monitor.alarm_views[id] = alarm(
            id, room_point, "action", "high", UNACKNOWLEDGED, 5, direction="below", limit=10.0, peak=9.96, **more
        )


def test_alarms_are_filtered_by_room_over_all_pages_and_the_address_says_so(monitor: FakeMonitor) -> None:
    many(monitor, 70)
    client = client_of(monitor, None)
    page = client.get("/alarms?which=standing&room=cp2")
    assert "71 alarms, 60 of them here" in page.text
    older = re.search(r'href="(/alarms\?which=standing&amp;room=cp2&amp;cursor=[^"]+)"', page.text)
    assert older
    rest = client.get(older[1].replace("&amp;", "&")).text
    found = [set(re.findall(r'id="alarm-(\w+)"', text)) for text in (page.text, rest)]
    assert not found[0] & found[1]
    assert found[0] | found[1] == {"a2"} | {f"g{n}" for n in range(70)}
    assert 'href="/alarms?which=standing&amp;room=cp2"' in rest, "back to the newest"
    assert client.get("/alarms?which=standing&room=cp1&cursor=of-another-filter").status_code == 200
    assert client.get("/alarms?which=nonsense").status_code == 200
    assert client.get("/api/v1/alarms?room=cp2&limit=100").json()["next"] is None
    assert {one["room"] for one in client.get("/api/v1/alarms?room=cp1").json()["alarms"]} == {"cp1"}


def test_a_large_group_is_one_of_the_overview_and_acknowledged_on_a_page_of_its_own(monitor: FakeMonitor) -> None:
    many(monitor, 230, group="G5")
    client = client_of(monitor, None)
    overview = client.get("/").text
    assert "233 alarms need acknowledgement" in overview
    assert len(re.findall(r'id="alarm-g\d+"', overview)) == 1
    assert {"alarm-a7", "alarm-a6"} <= set(re.findall(r'id="(alarm-\w+)"', overview))
    assert re.search(r'<a href="/alarms\?group=G5">229 more alarms with it \(Air handler 1\)', overview)
    page = client.get("/alarms?group=G5").text
    assert "230 stand, 230 wait to be acknowledged" in page
    monitor.acted = ActAnswered(ACCEPTED)
    reply = client.post("/groups/G5/acknowledge", data={"group": "G5", "by": "Sara Lind", "comment": "AHU"}, headers=HTML)
    assert (reply.status_code, reply.headers["location"]) == (303, "/alarms?group=G5&said=group")
    assert monitor.acts[-1].target == "G5"
    for id in ("g0", "g1", "g2"):
        done = replace(monitor.alarm_views[id], state=ACKNOWLEDGED, acknowledged=NOW, acknowledged_by="Sara Lind")
        monitor.alarm_views[id] = done
    assert "Recorded: 3 alarms acknowledged by Sara Lind at 08:41:10." in client.get(reply.headers["location"]).text
    card = re.search(r'<li class="alarm" id="alarm-g\d+".*?</li>', client.get("/").text, re.DOTALL)
    assert card
    assert 'action="/groups/G5/acknowledge" data-api="/api/v1/groups/G5/acknowledge" data-about="Air handler 1"' in card[0]
    assert "Acknowledge all of them" in card[0]


def test_of_what_is_over_nobody_is_told_what_to_do_as_if_it_stood(monitor: FakeMonitor) -> None:
    monitor.alarm_views["a7"] = replace(monitor.alarm_views["a7"], state=RETURNED, returned=NOW, text="Close the door.")
    client = client_of(monitor, None)
    overview = client.get("/").text
    assert re.findall(r'id="(alarm-\w+)"', overview) == ["alarm-a6", "alarm-a7", "alarm-a2", "alarm-a4"], "what lasts first"
    assert "It is over. Acknowledge it." in overview
    assert "Close the door." not in overview
    assert re.search(r"<dt>While it lasts</dt><dd[^>]*>Close the door.", client.get("/alarms/a7").text)


def test_without_a_group_no_alarm_hides_another_and_the_rest_is_counted(monitor: FakeMonitor) -> None:
    many(monitor, 40)
    overview = client_of(monitor, None).get("/").text
    assert re.findall(r'id="(alarm-\w+)"', overview)[0] == "alarm-a7", "what is critical stands first, however old"
    assert len(re.findall(r'id="alarm-\w+"', overview)) == overview_page.ALARMS_MAX
    assert "32 more alarms stand; see all" in overview


def test_what_to_do_and_numbers_are_in_the_readers_language(monitor: FakeMonitor) -> None:
    many(monitor, 1, texts={"sv": "Stäng dörren.", "en": "Close the door."}, text="Close the door.")
    client = client_of(monitor, None)
    swedish = client.get("/alarms/g0", headers={"Accept-Language": "sv"}).text
    assert "Stäng dörren." in swedish
    assert "Close the door." not in swedish
    assert "<strong>9,96&nbsp;Pa</strong>, åtgärdsgräns 10,0&nbsp;Pa" in swedish
    assert "<strong>9.96&nbsp;Pa</strong>, action limit 10.0&nbsp;Pa" in client.get("/alarms/g0").text
    assert 'lang="en">Stop open handling.' not in client.get("/alarms/a7", headers={"Accept-Language": "sv"}).text
    missing = client.get("/alarms/none", headers=HTML | {"Accept-Language": "sv"}).text
    assert '<h1 class="headline">Det finns inte här</h1>' in missing


def test_what_is_out_of_service_does_not_look_normal(monitor: FakeMonitor) -> None:
    view = monitor.point_views["cp2.temp"]
    monitor.point_views = {view.id: replace(view, out_of_service=OutOfService(NOW, NOW + 10**12, "Karin Ek", "Calibration"))}
    monitor.alarm_views.clear()
    overview = client_of(monitor, None).get("/").text
    assert "all points normal" not in overview
    assert "1 out of service" in overview
    assert re.search(r'data-point="cp2.temp" data-state="normal" data-out="yes"', overview)
    assert "Out of service until 08:57:50" in overview


def test_what_nobody_is_told_of_is_counted_and_marked_at_its_point(monitor: FakeMonitor) -> None:
    shelf = Shelf(NOW + 3600 * 10**9, NOW, "Karin Ek (karin)", "Filter is changed")
    monitor.alarm_views["a7"] = replace(monitor.alarm_views["a7"], shelved=shelf)
    monitor.alarm_views["a2"] = replace(monitor.alarm_views["a2"], suppressed="cleaning")
    view = monitor.point_views["cp1.temp"]
    monitor.point_views[view.id] = replace(view, out_of_service=OutOfService(NOW, NOW + 10**12, "Ola Berg", "Calibration"))
    client = client_of(monitor, None)
    overview = client.get("/").text
    assert '<a href="/alarms?which=shelved">1 alarm shelved</a>' in overview
    assert '<a href="/alarms?which=suppressed">1 alarm suppressed</a>' in overview
    told = '<a class="chip flag" href="/alarms/a7">Pressure to airlock below action limit: shelved until 09:41:10 by Karin Ek (karin)</a>'
    assert told in re.search(r'data-point="cp1.dp".*?</li>', overview, re.DOTALL)[0]  # type: ignore[index]
    room = client.get("/rooms/cp1").text
    assert told in re.search(r'id="trend-cp1.dp".*?</figure>', room, re.DOTALL)[0]  # type: ignore[index]
    out = re.search(r'<figure class="trend" data-out="yes" id="trend-cp1.temp".*?</figure>', room, re.DOTALL)
    assert out
    assert "Out of service until 08:57:50 by Ola Berg: not judged" in out[0]
    assert "Temperature above alert level: suppressed while Cleaning" in client.get("/rooms/cp2").text


def test_what_checks_say_when_all_is_well_is_in_the_readers_language(monitor: FakeMonitor) -> None:
    said = (
        "running", "can be written", "last step 0.4 s ago", "connected to mqtt://10.0.0.5:1883", "no other instance lives", "up to date",
        "the broker is a part of the service, and no other instance can reach it",
        "what the broker had queued is received", "3f9a2c77d01b is in force", "http://10.0.0.6:8086 takes what is written",
    )  # fmt: skip
    differs = "3f9a is in force; changed since and not in force: rules.yaml, oncall.yaml; `renrum apply` puts it in force"
    checks = (*(Check("journal", True, words) for words in said), Check("configuration", True, differs, True))
    monitor.health = lambda: Health(checks, ())  # type: ignore[method-assign]
    client = client_of(monitor, None)
    swedish = client.get("/health", headers={"Accept-Language": "sv"}).text
    for words in said:
        assert words not in swedish
        assert words in client.get("/health").text
    assert "senaste steget för 0,4 s sedan" in swedish
    assert '<use href="#icon-alert">' in swedish.split("3f9a gäller; ändrat sedan dess och inte i kraft: rules.yaml, oncall.yaml")[0][-250:]
    unknown = (Check("journal", True, "last commit 0.2 s ago"),)
    monitor.health = lambda: Health(unknown, ())  # type: ignore[method-assign]
    assert '<span lang="en">last commit 0.2 s ago</span>' in client.get("/health", headers={"Accept-Language": "sv"}).text


def test_times_and_signatures_of_the_trail_are_written_for_people(monitor: FakeMonitor, staff: Staff) -> None:
    until = "2026-11-22T09:16:23.772486739Z"
    reason = "Filter — signed as 'responsibility', 0123456789abcdef…"
    shelf = AuditEntry(3, NOW, "Karin Ek", "shelve", "a7", new=f"unacknowledged, shelved until {until}", reason=reason)
    monitor.audit_entries.append(shelf)
    client = somebody(monitor, staff, "supervisor")
    page = client.get("/audit").text
    assert "shelved until 2026-11-22 10:16:23" in page
    assert until not in page
    assert until in client.get("/audit.csv").text, "the file is as it was written"
    history = client.get("/alarms/a7", headers={"Accept-Language": "sv"}).text
    assert "<q>Filter</q> · underskrivet, innebörd ansvar" in history


def test_a_viewer_finds_no_words_for_what_only_others_may_do(monitor: FakeMonitor, staff: Staff) -> None:
    assert "Sign a review" not in somebody(monitor, staff, "viewer").get("/audit").text
    assert "Sign a review" in somebody(monitor, staff, "supervisor").get("/audit").text
    assert re.search(r'name="person" required><option value="">', somebody(monitor, staff, "supervisor").get("/oncall").text)


def test_a_door_has_no_limit_of_one_half(monitor: FakeMonitor) -> None:
    monitor.excursion_rows.append(excursion("x9", "pal1.door", "alert", 9, 3, 1.0, 0.5))
    client = client_of(monitor, None)
    row = re.search(r'<tr data-key="x9">.*?</tr>', client.get("/excursions").text, re.DOTALL)
    assert row
    assert 'data-label="Limit" class="number"><div>open</div>' in row[0]
    assert "0.5" not in row[0] + re.sub(r"<svg.*?</svg>|<figure.*", "", client.get("/excursions/x9").text, flags=re.DOTALL)


def test_an_open_door_is_called_open(monitor: FakeMonitor) -> None:
    monitor.alarm_views["d1"] = alarm("d1", "pal1.door", "alert", "medium", UNACKNOWLEDGED, 5, direction="above", limit=0.5, peak=1.0)
    page = client_of(monitor, None).get("/alarms/d1").text
    assert "Door to corridor open too long" in page
    assert "0.5" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/alarms/a7/shelve", {"alarm": "a7", "until": "2026-11-21T09:30", "reason": "Filter", "meaning": "approval", "password": "guess"}),
        ("/alarms/a7/acknowledge", {"comment": "seen\x01"}),
        ("/groups/G5/acknowledge", {"group": "G5", "comment": "AHU"}),
        ("/groups/G5/acknowledge", {"alarm": "g0", "comment": "AHU"}),
        ("/points/cp1.temp/out_of_service", {"room": "cp1", "until": "2026-11-21T09:30", "reason": "Calibration"}),
        ("/rooms/cp1/occupancy", {"room": "cp1", "state": "cleaning", "reason": "Weekly"}),
        ("/excursions/x1/assess", {"revision": "0", "cause": "Door", "impact": "None", "disposition": "Release", "password": "guess"}),
        ("/excursions/x1/comment", {"comment": "seen\x01"}),
        ("/audit/review", {"upto": "1", "comment": "looked at all", "meaning": "review", "password": "guess"}),
        (
            "/oncall/swap",
            {"rotation": "facility", "person": "nobody", "from": "2026-11-21T09:30", "to": "2026-11-21T10:30", "reason": "Ill"},
        ),
        ("/people/users", {"id": "operator", "name": "Sara Lind", "role": "viewer", "reason": "new"}),
        ("/people/users/operator", {"role": "king", "reason": "ill"}),
        ("/people/tokens", {"name": "bad name", "role": "viewer", "days": "30", "reason": "Grafana"}),
    ],
)
def test_a_form_that_is_refused_stays_open_with_why_and_what_was_typed(
    monitor: FakeMonitor, staff: Staff, path: str, given: dict[str, str]
) -> None:
    many(monitor, 5, group="G5")
    monitor.acted = ActAnswered(REFUSED, why="it is too late")
    client = somebody(monitor, staff, "administrator" if path.startswith("/people") else "supervisor")
    reply = client.post(path, data=given)
    assert reply.status_code in (400, 403, 409)
    form = re.search(rf'<form[^>]* action="{re.escape(path)}".*?</form>', reply.text, re.DOTALL)
    assert form
    assert re.search(r'<p class="fault" role="alert" tabindex="-1" autofocus', form[0])
    assert len(re.findall(r'<p class="fault"', reply.text)) == 2, "and above, for browsers that cannot tell where it stands"
    before = reply.text[: form.start()]
    assert before.count("<details") - before.count("</details") == before.count(" open>")
    for name, text in given.items():
        if name in ("reason", "cause", "impact", "disposition", "days", "upto") or (name == "comment" and text.isprintable()):
            assert f'value="{text}"' in form[0] or f">{text}</textarea>" in form[0], name
        if name in ("until", "from", "to"):
            assert f'value="{text}:00"' in form[0]
        if name in ("state", "meaning") or (name == "role" and text != "king"):
            assert f'<option value="{text}" selected>' in form[0]
    assert "guess" not in reply.text
