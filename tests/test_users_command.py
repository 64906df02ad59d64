"""`renrum users` and `renrum users token`: rights changed on the machine, on record, without a service."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alerts.people import office
from alerts.people.people import People
from alerts.people.register import Register
from facility.secret import Secret
from service.cli import main
from service.clock import SystemClock
from tests.support.people import cheap


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(office.Office.__init__, "__defaults__", (cheap,))
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["users", *words, "--data-dir", str(folder)])


def listed(result: Result) -> dict[str, dict[str, str]]:
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    return {row.get("id") or row["name"]: row for row in rows}


def test_a_user_is_added_changed_disabled_and_enabled(folder: Path) -> None:
    added = run(folder, "add", "karin", "--name", "Karin Ek", "--role", "operator", "--reason", "new")
    assert added.exit_code == 0, added.output
    password = added.stdout.strip()
    assert "shown this once" in added.stderr
    with closing(Register(folder / "people.db")) as register:
        people = People(register, SystemClock().now_ns, passwords=cheap())
        assert people.of_session(people.sign_in("karin", Secret(password), "here").reveal()) is not None
    assert run(folder, "role", "karin", "supervisor").exit_code == 0
    assert listed(run(folder, "list"))["karin"]["role"] == "supervisor"
    assert run(folder, "disable", "karin").exit_code == 0
    assert listed(run(folder, "list"))["karin"]["state"] == "disabled"
    assert run(folder, "enable", "karin").exit_code == 0
    reset = json.loads(run(folder, "reset-password", "karin", "--json").stdout)
    assert reset["id"] == "karin"
    assert reset["one_time_password"] != password
    assert listed(run(folder, "list"))["karin"]["state"] == "one-time password"
    with closing(Register(folder / "people.db")) as register:
        events = [event for event in register.events() if event.event != "signed in"]
    assert [event.event for event in events] == ["user added", "role changed", "user disabled", "user enabled", "password reset"]
    assert {event.by.partition(" ")[2] for event in events} == {"at the command line"}
    assert events[0].reason == "new"


def test_a_token_is_printed_once_and_revoked(folder: Path) -> None:
    made = run(folder, "token", "add", "mes", "--role", "operator", "--expires", "90d")
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert listed(run(folder, "token", "list"))["mes"]["state"] == "valid"
    assert token not in run(folder, "token", "list", "--json").stdout
    with closing(Register(folder / "people.db")) as register:
        people = People(register, SystemClock().now_ns, passwords=cheap())
        assert people.of_token(token) is not None
        assert run(folder, "token", "revoke", "mes").exit_code == 0
        assert people.of_token(token) is None
    assert listed(run(folder, "token", "list"))["mes"]["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("role", "nobody", "viewer"), "There is no user 'nobody'"),
        (("add", "karin", "--name", "Karin Ek", "--role", "boss"), "allowed: viewer, operator, supervisor, administrator"),
        (("token", "revoke", "nothing"), "There is no token 'nothing'"),
        (("token", "add", "mes", "--role", "administrator"), "cannot be administrator"),
        (("token", "add", "mes", "--role", "viewer", "--expires", "soon"), "allowed: a duration"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(folder: Path, words: tuple[str, ...], said: str) -> None:
    result = run(folder, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_without_a_data_dir_it_says_what_to_do(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "list")
    assert result.exit_code == 2
    assert "start the service once" in result.output
    (tmp_path / "people.db").write_bytes(b"no database" * 500)
    assert run(tmp_path, "list").exit_code == 2


def test_an_empty_register_says_how_the_first_user_comes(folder: Path) -> None:
    assert "the service makes the first when it starts" in run(folder, "list").stderr
