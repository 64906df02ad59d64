"""The pages beside the overview: their words, who may see them, their forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from alerts.people.permissions import OPEN, PERSON, ROLES, may
from dashboards import access
from dashboards.access import Gate
from dashboards.console import frame
from dashboards.console.words import catalogue
from dashboards.monitor import REFUSED, ActAnswered
from facility.secret import Secret
from tests.support.monitor import FakeMonitor
from tests.support.people import BY, HTML, PASSWORD, Staff, client_of, signed_in, somebody, staff_in

TEMPLATES = sorted((Path(frame.__file__).parent / "templates").glob("*.html"))


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


@pytest.fixture
def monitor() -> FakeMonitor:
    return FakeMonitor()


# Words


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    english, swedish = catalogue("en").texts, catalogue("sv").texts
    assert list(english) == [key for key in swedish if key.partition(".")[0] not in ("why", "failure", "problem")]
    places = re.compile(r"\{\w+\}")
    assert [key for key in english if sorted(places.findall(english[key])) != sorted(places.findall(swedish[key]))] == []
    assert [key for text in (english, swedish) for key in text if not text[key].strip()] == []


def test_what_is_said_in_swedish_of_problems_is_of_those_that_there_are() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(access.__file__).parent.rglob("*.py"))
    kinds = set(re.findall(r"""ProblemError\(\s*\d+,\s*"([\w-]+)\"""", sources))
    assert kinds >= set(catalogue("sv").group("problem")) > {"wrong-password"}


def test_refusals_are_in_swedish_and_what_is_not_is_marked_as_english(monitor: FakeMonitor, staff: Staff) -> None:
    client = somebody(monitor, staff, "supervisor")
    client.headers["Accept-Language"] = "sv"
    review = {"upto": "1", "comment": "sett", "meaning": "review", "password": "guess"}
    page = client.post("/audit/review", data=review).text
    assert 'role="alert">Det är inte ditt lösenord.' in page
    monitor.acted = ActAnswered(REFUSED, why="<b>no</b>")
    page = client.post("/alarms/a7/unshelve", data={"alarm": "a7"}).text
    assert 'role="alert">Det går inte. <span lang="en">&lt;b&gt;no&lt;/b&gt;. Nothing was changed.</span></p>' in page
    page = somebody(monitor, staff, "viewer").get("/people", headers={"Accept-Language": "sv"}).text
    assert '<p>Du har inte rätt att göra detta. <span lang="en">This needs the permission' in page
    page = client.get("/alarms/none").text
    assert '<p lang="en">There is no alarm' in page


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_words_of_its_own_and_every_text_that_it_names_is_there(template: Path) -> None:
    text = template.read_text("utf-8")
    assert {key for key in re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", text) if key not in catalogue("en").texts} == set()
    bare = re.sub(r"\{% block page_data %\}.*?\{% endblock %\}|\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", text, flags=re.DOTALL)
    labels = re.findall(r"""\b(?:aria-label|title|placeholder|alt)="([^"]*[A-Za-z]{2}[^"]*)\"""", bare)
    bare = re.sub(r"<[^>]*>|&\w+;", " ", bare)
    assert set(re.findall(r"[A-Za-zÅÄÖåäö]{2,}", bare)) | set(labels) <= {"Renrum", "CNC"}


def test_the_language_is_the_one_that_was_chosen_else_the_browsers(monitor: FakeMonitor, staff: Staff) -> None:
    client = client_of(monitor, None)
    assert '<html lang="en">' in client.get("/").text
    swedish = client.get("/alarms", headers={"Accept-Language": "sv-SE,sv;q=0.9,en;q=0.5"}).text
    assert '<html lang="sv">' in swedish
    assert "Okvitterat" in swedish
    reply = client.post("/language", data={"language": "sv", "next": "/kpis"}, headers=HTML)
    assert (reply.status_code, reply.headers["location"]) == (303, "/kpis")
    assert "Nyckeltal" in client.get("/kpis").text
    assert client.post("/language", data={"language": "sv", "next": "//evil.example"}, headers=HTML).headers["location"] == "/"


# Rights


def test_the_language_that_somebody_chose_goes_with_the_person(monitor: FakeMonitor, staff: Staff) -> None:
    def titled(client: TestClient) -> str:
        return "sv" if '<html lang="sv">' in client.get("/kpis", headers=HTML).text else "en"

    here = signed_in(client_of(monitor, staff), "viewer")
    assert titled(here) == "en"
    here.post("/language", data={"language": "sv", "next": "/kpis"}, headers=HTML)
    elsewhere = signed_in(client_of(monitor, staff), "viewer")
    assert titled(elsewhere) == "sv"
    elsewhere.post("/language", data={"language": "en", "next": "/kpis"}, headers=HTML)
    assert titled(here) == "en", "whatever this browser remembers"
    assert titled(signed_in(here, "operator")) == "sv", "that of the browser, for who has chosen none"
    staff.office.disable("operator", BY)
    assert here.post("/language", data={"language": "en", "next": "/login"}, headers=HTML).status_code == 303
    assert staff.register.rows("select user, language from languages") == [("viewer", "en")]
    assert '<html lang="en">' in here.get("/login", headers=HTML).text


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_the_pages_that_it_may_and_finds_no_others_in_the_navigation(monitor: FakeMonitor, staff: Staff, role: str) -> None:
    client = somebody(monitor, staff, role)
    routes = [route for route in client.app.routes if isinstance(route, Gate) and not route.path.startswith("/api/")]  # type: ignore[attr-defined]
    ids = {"/alarms/": "a7", "/rooms/": "cp1", "/excursions/": "x1"}
    for gate in routes:
        if gate.permission in (OPEN, PERSON) or "GET" not in (gate.methods or ()) or "{part}" in gate.path or "tests" in gate.path:
            continue
        path = gate.path.replace("{id}", next((id for before, id in ids.items() if gate.path.startswith(before)), ""))
        assert client.get(path).status_code == (200 if may(role, gate.permission) else 403), path
    shown = set(re.findall(r'<li><a href="(/\w*)"', client.get("/").text))
    assert shown == {path for _, path, permission in frame.PAGES if may(role, permission)}


@pytest.mark.parametrize("role", ROLES)
def test_each_form_is_taken_from_those_only_who_may(monitor: FakeMonitor, staff: Staff, role: str) -> None:
    client = somebody(monitor, staff, role)
    for gate in client.app.routes:  # type: ignore[attr-defined]
        if (
            isinstance(gate, Gate)
            and "POST" in (gate.methods or ())
            and not gate.path.startswith("/api/")
            and gate.permission not in (OPEN, PERSON)
        ):
            refused = client.post(gate.path.replace("{id}", "none")).status_code
            assert (refused == 403) == (not may(role, gate.permission)), gate.path


# Forms


def test_an_excursion_is_assessed_closed_and_opened_again_each_signed(monitor: FakeMonitor, staff: Staff) -> None:
    client = somebody(monitor, staff, "supervisor")
    said = {"revision": "0", "cause": "Door <b>", "impact": "None", "disposition": "Release", "deviation": "DEV-9", "meaning": "authorship"}
    wrong = client.post("/excursions/x1/assess", data=said | {"password": "guess"})
    assert wrong.status_code == 403
    assert "Nothing was signed; the failed attempt is on record." in wrong.text
    assert "Door &lt;b&gt;</textarea>" in wrong.text, "what was typed stays"
    assert "guess" not in wrong.text
    done = client.post("/excursions/x1/assess", data=said | {"password": PASSWORD})
    assert (done.status_code, done.headers["location"]) == (303, "/excursions/x1?said=assess")
    page = client.get(done.headers["location"]).text
    assert "The assessment is signed" in page
    assert "signed, meaning authorship" in page
    assert monitor.keeper.remarks[0].digest in page
    sign = {"revision": "0", "password": PASSWORD}
    assert client.post("/excursions/x1/close", data=sign | {"meaning": "approval"}).status_code == 303
    assert "<strong>Closed</strong>" in client.get("/excursions/x1").text
    assert client.post("/excursions/x1/reopen", data=sign | {"meaning": "review"}).status_code == 400, "not without a reason"
    assert client.post("/excursions/x1/reopen", data=sign | {"meaning": "review", "comment": "CAPA 4"}).status_code == 303
    assert client.post("/excursions/x1/comment", data={"comment": "CAPA done"}).headers["location"].endswith("?said=comment")
    assert [remark.action for remark in monitor.keeper.remarks] == ["assess", "close", "reopen", "comment"]
    monitor.excursion_rows[0] = replace(monitor.excursion_rows[0], revision=1)
    assert "it was signed over revision 0" in client.get("/excursions/x1").text


def test_excursions_are_found_by_room_time_and_record(monitor: FakeMonitor) -> None:
    client = client_of(monitor, None)
    assert set(re.findall(r'data-key="(\w+)"', client.get("/excursions?room=cp1").text)) == {"x3", "x4"}
    assert set(re.findall(r'data-key="(\w+)"', client.get("/excursions?end=2026-11-21T07:00").text)) == {"x1"}
    assert set(re.findall(r'data-key="(\w+)"', client.get("/excursions?record=to+be+assessed").text)) == {"x1"}
    assert client.get("/excursions?start=never", headers=HTML).status_code == 400


def test_the_configuration_shows_who_signed_it_and_that_nobody_signed_the_first(monitor: FakeMonitor) -> None:
    now = client_of(monitor, None).get("/configuration").text.split("<details", 1)[0]
    assert "signed, meaning approval" in now
    assert monitor.configurations()[-1].digest in now
    assert "Karin Ek" in now
    assert "Nobody signed it." not in now
    monitor.configurations = lambda: type(monitor).configurations(monitor)[:1]  # type: ignore[method-assign]
    assert "Nobody signed it." in client_of(monitor, None).get("/configuration").text


def test_the_trail_is_filtered_reviewed_with_a_signature_and_exported(monitor: FakeMonitor, staff: Staff) -> None:
    monitor.audit_entries[1] = replace(monitor.audit_entries[1], reason="=cmd()", point="cp1.dp", rule="dp-low")
    client = somebody(monitor, staff, "supervisor")
    page = client.get("/audit?words=karin").text
    assert "acknowledged" in page
    assert "<code>a4</code> cp1.dp, dp-low" in page
    assert "configuration applied" not in page
    review = {"upto": "2", "comment": "looked at all", "meaning": "review"}
    assert client.post("/audit/review", data=review | {"password": "guess"}).status_code == 403
    assert client.post("/audit/review", data=review | {"password": PASSWORD}).headers["location"] == "/audit?said=review"
    lines = client.get("/audit.csv").text.splitlines()
    assert lines[0] == "number,at,actor,action,object,old,new,reason,entry,hash,point,rule"
    assert len(lines) == 3
    assert lines[2].endswith(",,,'=cmd(),0,,cp1.dp,dp-low")
    assert len(client.get("/audit.csv?words=karin").text.splitlines()) == 2


def test_a_person_is_added_and_the_one_time_password_shown_once(monitor: FakeMonitor, staff: Staff) -> None:
    client = somebody(monitor, staff, "administrator")
    reply = client.post("/people/users", data={"id": "karin", "name": "Karin Ek", "role": "operator", "reason": "new"})
    assert reply.status_code == 201
    found = re.search(r'class="secret">([^<]+)<', reply.text)
    assert found
    assert found[1] not in client.get("/people").text
    staff.people.sign_in("karin", Secret(found[1]), "10.0.0.1")
    again = client.post("/people/users", data={"id": "karin", "name": "Karin Ek", "role": "operator"})
    assert again.status_code == 409
    assert 'role="alert"' in again.text
    assert client.post("/people/users/karin", data={"disabled": "true", "reason": "left"}).status_code == 303
    user = staff.register.user("karin")
    assert user is not None
    assert user.disabled
    token = client.post("/people/tokens", data={"name": "grafana", "role": "viewer", "days": "30"})
    assert "renrum_" in token.text
    assert client.post("/people/tokens/grafana/revoke").status_code == 303


def test_rooms_that_there_are_not_and_spans_that_cannot_be_are_said(monitor: FakeMonitor) -> None:
    client = client_of(monitor, None)
    assert client.get("/rooms/cp9", headers=HTML).status_code == 404
    assert "at most 93 days" in client.get("/rooms/cp1?from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", headers=HTML).text
    assert "Cell processing 1" in client.get("/rooms/bsc1").text, "a zone stands on the page of its room"
    page = client.get("/rooms/cp1?from=2026-11-21T06:00:00Z&to=2026-11-21T07:00:00Z").text
    assert page.count("<figure") == 9
    assert 'class="limit-line level-action"' in page
