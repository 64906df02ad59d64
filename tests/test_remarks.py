"""The record of an excursion: comments, assessment, closure and the signatures on them, over HTTP on a real ledger.

The pressure of cp1 alerts below 12 Pa; a reading and a step each second.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from alerts.record.audit import broken_rows
from alerts.record.store import StateStore
from alerts.remarks import Remarks
from facility.times import parse_time
from service.cli import main
from tests.support.people import PASSWORD, Staff, client_of, signed_in, staff_in
from tests.support.verifying import verify
from tests.support.watched import SECOND, START, Watched, fall

API = "/api/v1"
SAID = {"cause": "Door propped open", "impact": "None: no open product", "disposition": "accepted", "password": PASSWORD}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Watched]:
    """After each story, what is stored is what comes out when the journal is evaluated again."""
    watched = Watched(tmp_path)
    fall(watched, 15.0, 11.0, 15.0, 15.0)
    yield watched
    result = verify(watched.folder)
    assert not list(broken_rows(watched.store))
    watched.close()
    assert result.exit_code == 0, result.stdout


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


@pytest.fixture
def client(site: Watched, staff: Staff) -> TestClient:
    return signed_in(client_of(site.monitor, staff), "supervisor")


def post(client: TestClient, what: str, excursion: str = "E1", **body: Any) -> tuple[int, dict[str, Any]]:
    reply = client.post(f"{API}/excursions/{excursion}/{what}", json=body)
    return reply.status_code, reply.json()


def state(client: TestClient, excursion: str = "E1") -> str:
    found: str = client.get(f"{API}/excursions/{excursion}").json()["state"]
    return found


def trail(site: Watched) -> list[tuple[str, str, str, str]]:
    rows = site.store.rows("select actor, action, old, new from audit where object = 'excursion E1' order by seq")
    return [tuple(row) for row in rows]


def test_assessed_closed_reopened_and_nothing_is_lost(site: Watched, client: TestClient) -> None:
    assert state(client) == "to be assessed"
    code, refused = post(client, "close", revision=0, password=PASSWORD)
    assert (code, refused["state"]) == (409, "to be assessed")
    code, record = post(client, "assess", revision=0, **SAID)
    assert (code, record["state"]) == (200, "assessed")
    code, record = post(client, "assess", revision=0, **SAID | {"cause": "Fan belt", "deviation": "DEV-2026-017"})
    assert [one["cause"] for one in record["remarks"]] == ["Door propped open", "Fan belt"]
    code, record = post(client, "close", revision=0, password=PASSWORD, comment="Agreed")
    assert (code, record["state"]) == (200, "closed")
    assert post(client, "assess", revision=0, **SAID)[0] == 409
    assert post(client, "reopen", revision=0, password=PASSWORD, comment="")[0] == 400
    code, record = post(client, "reopen", revision=0, password=PASSWORD, comment="Another probe disagrees")
    assert (code, record["state"]) == (200, "assessed")
    who = "Supervisor Ek (supervisor)"
    assert trail(site) == [
        (who, "assess", "to be assessed", "assessed"),
        (who, "assess", "assessed", "assessed"),
        (who, "close", "assessed", "closed"),
        (who, "reopen", "closed", "assessed"),
    ]
    assert len({one["digest"] for one in record["remarks"]}) == 4
    assert [one["meaning"] for one in record["remarks"]] == ["authorship", "authorship", "approval", "responsibility"]


def test_an_excursion_that_lasts_takes_comments_and_no_assessment(site: Watched, client: TestClient, staff: Staff) -> None:
    fall(site, 11.0, 11.0)
    assert state(client, "E2") == "open"
    assert post(client, "assess", "E2", revision=0, **SAID)[0] == 409
    operator = signed_in(client_of(site.monitor, staff), "operator")
    assert post(operator, "comment", "E2", comment="Called the AHU engineer")[0] == 200
    assert post(operator, "comment", "E2", comment=" ")[0] == 400
    fall(site, 15.0, 15.0)
    record = operator.get(f"{API}/excursions/E2").json()
    assert record["state"] == "to be assessed"
    assert [(one["by"], one["comment"], one["digest"]) for one in record["remarks"]] == [
        ("Operator Ek (operator)", "Called the AHU engineer", "")
    ]


def test_a_comment_while_it_lasts_takes_no_assessment_away(site: Watched, client: TestClient) -> None:
    """Late readings may show that an assessed excursion lasted, and later how long."""
    assert post(client, "assess", revision=0, **SAID)[0] == 200
    remarks = Remarks(site.store)
    excursion, (assessment,) = remarks.excursion("E1"), remarks.of("E1")
    assert excursion is not None
    comment = replace(assessment, entry=assessment.entry + 1, action="comment", meaning="", digest="", state="open")
    with closing(StateStore(":memory:")) as store:
        for remark in (assessment, comment):
            store.execute(f"insert into remarks values ({','.join('?' * 14)})", astuple(remark))
        assert Remarks(store).state(replace(excursion, cleared=None)) == "open"
        assert Remarks(store).state(excursion) == "assessed"


def test_only_a_person_with_the_password_signs(site: Watched, client: TestClient, staff: Staff) -> None:
    assert post(client, "assess", revision=0, **SAID | {"password": "guessed"})[0] == 403
    assert state(client) == "to be assessed"
    assert ("sign-in failed", "user supervisor", "Supervisor Ek (supervisor)") in staff.events()
    program = client_of(site.monitor, staff)
    program.headers["Authorization"] = f"Bearer {staff.tokens['supervisor']}"
    code, refused = post(program, "assess", revision=0, **SAID)
    assert (code, refused["title"]) == (403, "A program cannot sign")
    operator = signed_in(client_of(site.monitor, staff), "operator")
    assert post(operator, "assess", revision=0, **SAID)[0] == 403
    nobody = client_of(site.monitor, None)
    assert post(nobody, "assess", revision=0, **SAID)[0] == 409, "without users nobody can sign"
    assert not trail(site)


def test_what_changed_after_it_was_looked_at_is_not_signed_and_what_was_signed_says_so(site: Watched, client: TestClient) -> None:
    assert post(client, "assess", revision=0, **SAID)[0] == 200
    begun = site.store.rows("select onset from excursions where id = 'E1'")[0][0]
    site.send("cp1.dp", 5.0, at=begun + SECOND // 2 - START)
    site.step()
    record = client.get(f"{API}/excursions/E1").json()
    assert record["excursion"]["revision"] == 1
    assert [one["outdated"] for one in record["remarks"]] == [True]
    assert post(client, "assess", revision=0, **SAID)[0] == 409
    _, record = post(client, "assess", revision=1, **SAID)
    assert [one["outdated"] for one in record["remarks"]] == [True, False]


def test_a_closure_stands_under_the_assessment_that_was_seen(client: TestClient) -> None:
    _, record = post(client, "assess", revision=0, **SAID)
    seen = record["remarks"][-1]["digest"]
    post(client, "assess", revision=0, **SAID | {"impact": "The batch of the day"}, after=seen)
    assert post(client, "close", revision=0, password=PASSWORD, after=seen)[0] == 409
    assert state(client) == "assessed"
    _, record = post(client, "comment", comment="Both are right")
    assert post(client, "close", revision=0, password=PASSWORD, after=record["remarks"][1]["digest"])[0] == 200


def test_the_audit_trail_is_reviewed_up_to_a_row(site: Watched, client: TestClient) -> None:
    before = client.get(f"{API}/audit/trail").json()
    assert (before["reviewed"], before["by"]) == (0, "")
    body = {"upto": before["rows"], "comment": "Nothing unusual", "password": PASSWORD}
    after = client.post(f"{API}/audit/review", json=body).json()
    assert (after["reviewed"], after["by"]) == (before["rows"], "Supervisor Ek (supervisor)")
    assert client.post(f"{API}/audit/review", json=body).status_code == 409
    assert client.post(f"{API}/audit/review", json=body | {"upto": 10_000}).status_code == 404
    assert client.post(f"{API}/audit/review", json=body | {"upto": 1 << 63}).status_code == 400
    row = site.store.rows("select object, new, reason from audit order by seq desc limit 1")[0]
    assert row[:2] == (f"audit rows 1 to {before['rows']}", before["head"])
    assert "Nothing unusual — signed as 'review'" in row[2]


def test_the_audit_trail_as_a_file_can_be_proven_without_us(site: Watched, client: TestClient, tmp_path: Path) -> None:
    post(client, "assess", revision=0, **SAID)
    out = tmp_path / "audit.csv"
    done = CliRunner().invoke(main, ["audit", "--data-dir", str(site.folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == site.store.rows("select count(*) from audit")[0][0]
    before = bytes(32)
    for row in rows:
        columns = [
            int(row["number"]),
            parse_time(row["at"]),
            *(row[name] for name in ("actor", "action", "object", "old", "new", "reason")),
        ]
        before = hashlib.sha256(before + json.dumps([*columns, int(row["entry"])], ensure_ascii=False).encode()).digest()
        assert row["hash"] == before.hex()
    some = CliRunner().invoke(main, ["audit", "--data-dir", str(site.folder), "--actor", "Super*", "--json"])
    assert [one["action"] for one in json.loads(some.stdout)["entries"]] == ["assess"]


@pytest.mark.parametrize("place", ["--point=cp1.dp", "--room=cp1"])
def test_the_audit_trail_names_point_and_rule_of_alarms_and_excursions_and_is_found_by_them(
    site: Watched, client: TestClient, place: str
) -> None:
    post(client, "assess", revision=0, **SAID)
    found = CliRunner().invoke(main, ["audit", "--data-dir", str(site.folder), place, "--json"])
    entries = json.loads(found.stdout)["entries"]
    assert [(one["action"], one["object"], one["point"], one["rule"]) for one in entries] == [
        ("raise", "A1", "cp1.dp", "dp"), ("return", "A1", "cp1.dp", "dp"), ("assess", "excursion E1", "cp1.dp", "dp.alert"),
    ]  # fmt: skip
