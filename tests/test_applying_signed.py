"""`renrum apply` signed: who, the password again, a meaning, over exactly what takes force; running, stopped, refused, proved."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from msgspec import structs

from alerts.people.office import Office, On
from alerts.people.people import People
from alerts.people.register import Register
from alerts.record.signing import applied_digest, digest_of, is_signed_over, signed
from alerts.record.store import StateStore
from dashboards.monitor import UNCHANGED, UNSIGNED, ApplyAnswered, ApplyAsked
from facility.secret import Secret
from ingest.journal.entries import CONFIGURATION, Changed, ConfigurationBody, encode
from ingest.journal.journal import Journal
from service.applied import in_force
from service.clock import SystemClock
from service.running import Running
from tests.support.changing import edited, loaded, run
from tests.support.monitor import NOW, FakeMonitor
from tests.support.people import PASSWORD, Staff, cheap, client_of, signed_in, staff_in
from tests.support.signatories import KARIN, chosen, running, staffed
from tests.support.verifying import wrong

PATH = "/api/v1/configuration/apply"
BODY = {"reason": "requalified", "expect": "d" * 64}


# Over HTTP


@pytest.fixture
def staff(tmp_path: Path) -> Iterator[Staff]:
    with staff_in(tmp_path) as staff:
        yield staff


def test_a_person_signs_and_a_program_is_told_who_can(staff: Staff) -> None:
    monitor = FakeMonitor()
    monitor.answers = ApplyAnswered(UNSIGNED)
    client = client_of(monitor, staff)
    token = {"Authorization": f"Bearer {staff.tokens['supervisor']}"}
    refused = client.post(PATH, json=BODY, headers=token)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:renrum:problem:signature-needed")
    assert "token for-supervisor is a program, which cannot sign: a supervisor or an administrator" in refused.json()["detail"]
    assert client.post(PATH, json=BODY | {"password": PASSWORD}, headers=token).json()["title"] == "A program cannot sign"

    signed_in(client, "supervisor")
    assert "sign with your password" in client.post(PATH, json=BODY).json()["detail"]
    monitor.answers = ApplyAnswered(UNCHANGED)
    monitor.asked.clear()
    unseen = client.post(PATH, json={"reason": "x", "password": PASSWORD})
    assert (unseen.status_code, unseen.json()["errors"][0]["parameter"]) == (400, "expect")
    assert client.post(PATH, json=BODY | {"password": PASSWORD, "meaning": "love"}).status_code == 400
    assert client.post(PATH, json=BODY | {"password": "wrong"}).json()["type"] == "urn:renrum:problem:wrong-password"
    assert monitor.asked == []
    assert client.post(PATH, json=BODY | {"password": PASSWORD, "meaning": "authorship"}).status_code == 200
    name = "Supervisor Ek (supervisor)"
    assert monitor.asked == [ApplyAsked(name, "requalified", "", "d" * 64, meaning="authorship", signed_at=NOW)]
    assert client.post(PATH, json=BODY | {"dry_run": True}).status_code == 200
    assert monitor.asked[-1].meaning == "", "who only looks signs nothing"

    for _ in range(5):
        client.post(PATH, json=BODY | {"password": "wrong"})
    waits = client.post(PATH, json=BODY | {"password": PASSWORD})
    assert (waits.status_code, waits.json()["type"]) == (429, "urn:renrum:problem:wait")
    assert staff.events().count(("sign-in failed", "user supervisor", name)) == 1 + 5
    signed_in(client, "operator")
    assert client.post(PATH, json=BODY | {"password": PASSWORD}).json()["type"] == "urn:renrum:problem:forbidden"
    assert client_of(monitor, None).post(PATH, json=BODY | {"by": "Anna", "password": PASSWORD}).status_code == 409


# What it is bound to


def test_a_signature_is_over_every_word_and_every_text() -> None:
    body = ConfigurationBody("h", 1, {}, {"files": {"a": "1"}}, "Karin", "why", "CR-7", [Changed("x", "1", "2")])
    one = signed(body, "approval", 5)
    assert (one.meaning, one.signed_ns, one.digest) == ("approval", 5, applied_digest(one))
    assert is_signed_over(one)
    others: tuple[dict[str, Any], ...] = (
        {"by": "Ola"}, {"reason": "other"}, {"change": ""}, {"meaning": "review"}, {"signed_ns": 6}, {"changes": []},
        {"entry": {"files": {"a": "2"}}}, {"digest": ""},
    )  # fmt: skip
    for other in others:
        assert not is_signed_over(structs.replace(one, **other)), other
    assert signed(body, "", 5) == body
    assert is_signed_over(body)


# A site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return staffed(tmp_path / "site", monkeypatch)


def apply(folder: Path, *more: str) -> Result:
    words = ("--reason", "requalified", "--change", "CR-7", "--yes", "--no-excursions")
    return run("apply", "--config", folder, *words, *more)


def audit(folder: Path) -> list[tuple[Any, ...]]:
    with closing(StateStore(folder / "data" / "state.db", readonly=True)) as store:
        return [tuple(row) for row in store.rows("select actor, action, object, reason from audit order by seq")]


def test_a_running_service_takes_it_from_a_person_who_signs(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = site
    with running(folder) as pipeline:
        edited(folder, "limits.csv", ",action,10,", ",action,12,")
        at = ("--url", pipeline.url)
        program = folder / "token"
        program.write_text(os.environ["PROGRAM"])
        refused = apply(folder, *at, "--token-file", str(program))
        assert refused.exit_code == 2
        assert "A program cannot sign" in refused.stderr
        looked = run("apply", "--config", folder, "--dry-run", "--no-excursions", *at, "--token-file", program, "--json")
        assert json.loads(looked.stdout)["signature"] is True
        assert "permission 'apply'" in apply(folder, *at, "--user", "ola").stderr
        assert "It takes a person: give --user NAME" in apply(folder, *at).stderr
        monkeypatch.setenv("RENRUM_PASSWORD", os.environ["FIRST"])
        assert "has a one-time password" in apply(folder, *at, "--user", "admin").stderr
        monkeypatch.setenv("RENRUM_PASSWORD", "a wrong one")
        assert "Wrong name or password" in apply(folder, *at, "--user", "karin").stderr
        with pytest.raises(Exception, match="That is not your password"):
            Running(pipeline.url).signed_in("karin", Secret(PASSWORD))[0].post(PATH, BODY | {"password": "x"})
        assert len(in_force(folder / "data")) == 1

        (folder / "password").write_text(f"{PASSWORD}\n")
        done = apply(folder, *at, "--user", "karin", "--password-file", str(folder / "password"))
        assert done.exit_code == 0, done.stderr
        assert ". Signed, " in done.stdout
        page = pipeline.monitor.configurations()[-1]
        assert pipeline.monitor.identity.config == loaded(folder).judging_hash
    body = in_force(folder / "data")[-1][1]
    assert (body.by, body.reason, body.change, body.meaning) == (KARIN, "requalified", "CR-7", "approval")
    assert (page.meaning, page.digest) == ("approval", body.digest)
    assert digest_of(body.entry) == digest_of(loaded(folder).as_entry())
    assert is_signed_over(body)
    rows = audit(folder)
    assert (KARIN, "configuration", "configuration", f"CR-7: requalified — signed as 'approval', {body.digest[:16]}…") in rows
    assert (KARIN, "configuration value", "cp1.dp action below", "CR-7: requalified") in rows
    assert [row[1] for row in rows if row[0] == KARIN and row[2] == "user karin"].count("sign-in failed") == 2
    told = run("history", "cp1.dp", "--config", folder).stdout
    assert f"CR-7: requalified — signed as 'approval', {body.digest[:16]}…" in told
    document = json.loads(run("history", "cp1.dp", "--config", folder, "--json").stdout)["changes"]
    assert [(change["meaning"], change["signature"]) for change in document] == [("", ""), ("approval", body.digest)]
    assert "signed as 'approval'" in run("audit", "--config", folder, "--action", "configuration").stdout
    assert wrong(folder / "data") == {}
    found = [str(path) for path in (folder / "data").rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert found == []


def test_beside_a_stopped_service_it_is_checked_counted_and_on_record(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, data_dir = site, site / "data"
    new = edited(folder, "limits.csv", ",action,10,", ",action,12,")
    assert run("apply", "--config", folder, "--dry-run", "--no-excursions").exit_code == 0, "who only looks needs no name"
    assert "It takes a person: give --user NAME" in apply(folder).stderr
    assert "permission 'apply', which supervisors and administrators have" in apply(folder, "--user", "ola").stderr
    monkeypatch.setenv("RENRUM_PASSWORD", os.environ["FIRST"])
    assert "has a one-time password: choose your own first" in apply(folder, "--user", "admin").stderr
    monkeypatch.setenv("RENRUM_PASSWORD", "a wrong one")
    said = [apply(folder, "--user", "karin").stderr for _ in range(5)]
    assert {line.strip() for line in said} == {"Error: Not signed: wrong name or password. Nothing was applied."}
    monkeypatch.setenv("RENRUM_PASSWORD", PASSWORD)
    assert "Too many attempts failed. Try again in" in apply(folder, "--user", "karin").stderr, "each command is a process of its own"
    assert len(in_force(data_dir)) == 1
    with closing(Register(data_dir / "people.db")) as register:
        now_ns = SystemClock().now_ns
        chosen(People(register, now_ns), "karin", Office(register, now_ns, cheap).reset_password("karin", On("x")))

    done = apply(folder, "--user", "karin", "--meaning", "authorship", "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    body = in_force(data_dir)[-1][1]
    assert (answer["result"], answer["signed"]) == ("applied", body.digest)
    assert (body.by, body.meaning, digest_of(body.entry)) == (KARIN, "authorship", digest_of(new.as_entry()))
    assert is_signed_over(body)
    with running(folder):
        deadline = time.monotonic() + 30
        while not any(row[1] == "locked out" for row in audit(folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
    rows = audit(folder)
    assert [row[1] for row in rows if row[2] == "user karin"].count("sign-in failed") == 5
    assert any("at the command line" in row[3] for row in rows if row[1] == "sign-in failed")
    assert wrong(data_dir) == {}


def test_where_there_are_no_users_nobody_signs_and_it_says_so(site: Path) -> None:
    edited(site, "limits.csv", ",action,10,", ",action,12,")
    (site / "data" / "people.db").unlink()
    done = apply(site)
    assert (done.exit_code, done.stdout.splitlines()[-1].rpartition(". ")[2]) == (0, "Nobody signed it.")
    assert not (site / "data" / "people.db").exists()
    body = in_force(site / "data")[-1][1]
    assert (body.meaning, body.digest, is_signed_over(body)) == ("", "", True)
    edited(site, "limits.csv", ",action,12,", ",action,13,")
    refused = apply(site, "--user", "karin")
    assert (refused.exit_code, len(in_force(site / "data"))) == (2, 2), "a name that nothing proves is not taken, nor dropped in silence"
    assert "nobody can sign here, as there are no users" in refused.stderr


def test_who_is_named_signs_where_no_signature_is_needed(site: Path) -> None:
    edited(site, "renrum.yaml", "apply: signed", "apply: on_start")
    assert apply(site, "--user", "karin").exit_code == 0, "what was in force took a signature"
    edited(site, "limits.csv", ",action,10,", ",action,12,")
    done = apply(site, "--user", "karin")
    assert done.exit_code == 0, done.stderr
    body = in_force(site / "data")[-1][1]
    assert (body.by, body.meaning, is_signed_over(body)) == (KARIN, "approval", True)


def test_a_people_db_that_cannot_be_read_is_no_way_past_the_signature(site: Path) -> None:
    edited(site, "limits.csv", ",action,10,", ",action,12,")
    (site / "data" / "people.db").write_bytes(b"damaged" * 1000)
    refused = apply(site, "--user", "karin")
    assert refused.exit_code == 2
    assert "cannot open" in refused.stderr
    assert len(in_force(site / "data")) == 1


def test_verify_names_a_signature_that_is_not_over_what_took_force(site: Path) -> None:
    edited(site, "limits.csv", ",action,10,", ",action,12,")
    configuration = loaded(site)
    body = ConfigurationBody(configuration.judging_hash, 1, {}, configuration.as_entry(), KARIN, "requalified", "")
    with closing(Journal(site / "data" / "journal.db")) as journal:
        forged = structs.replace(signed(body, "approval", SystemClock().now_ns()), reason="what nobody signed")
        journal.append(CONFIGURATION, encode(forged), SystemClock().now_ns())
    with running(site):
        pass
    assert wrong(site / "data") == {"excursions": ["its signature is not over this configuration, with these words"]}
