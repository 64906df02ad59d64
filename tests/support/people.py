"""People in a register of their own, with a clock turned by hand and passwords that cost next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from starlette.testclient import TestClient

from alerts.people.office import Office, On
from alerts.people.passwords import Passwords
from alerts.people.people import People
from alerts.people.permissions import ROLES
from alerts.people.register import Register
from dashboards.app import build_app
from dashboards.monitor import Monitor
from facility.secret import Secret
from tests.support.monitor import NOW

SECOND_NS = 10**9
HERE = "http://127.0.0.1:8480"
BY = On("a test")
HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
PASSWORD = "correct horse battery"


def cheap() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


class Staff:
    """`people` with one user of each role, named as the role, whose password is PASSWORD, and one token of each role but administrator."""

    def __init__(self, register: Register) -> None:
        self.at = NOW
        self.register = register
        self.people = People(register, lambda: self.at, passwords=cheap())
        self.office = Office(register, lambda: self.at, lambda: self.people.passwords)
        self.tokens: dict[str, str] = {}
        for role in ROLES:
            self.hire(role, role)
            if role != "administrator":
                self.tokens[role] = self.office.add_token(f"for-{role}", role, 30 * 86_400 * SECOND_NS, BY).reveal()

    def hire(self, id: str, role: str) -> None:
        """A user who has chosen a password."""
        first = self.office.add(id, f"{id.capitalize()} Ek", role, BY)
        session = self.people.of_session(self.people.sign_in(id, first, "10.0.0.9").reveal())
        assert session is not None
        self.people.change_password(session, first, Secret(PASSWORD), "10.0.0.9")
        self.register.write("delete from sessions")
        self.register.write("delete from places")

    def events(self) -> list[tuple[str, str, str]]:
        """What is to be journalled: event, target, by."""
        return [(event.event, event.target, event.by) for event in self.register.events(1000)]

    def wait(self, seconds: float) -> None:
        self.at += int(seconds * SECOND_NS)


@contextmanager
def staff_in(folder: Path) -> Iterator[Staff]:
    with closing(Register(folder / "people.db")) as register:
        yield Staff(register)


def client_of(monitor: Monitor, staff: Staff | None, base: str = HERE, **more: Any) -> TestClient:
    """A browser or program before the application; `staff` None for one without users."""
    app = build_app(monitor, people=staff.people if staff else None, **{"public_url": "https://em.example.org"} | more)
    return TestClient(app, base, raise_server_exceptions=False, follow_redirects=False)


def signed_in(client: TestClient, user: str, password: str = PASSWORD) -> TestClient:
    """The client, which keeps the session's cookie from now on."""
    reply = client.post("/api/v1/session", json={"user": user, "password": password})
    assert reply.status_code == 200, reply.text
    return client


def somebody(monitor: Monitor, staff: Staff, role: str) -> TestClient:
    """A browser in which somebody of a role is signed in."""
    client = client_of(monitor, staff)
    client.headers.update(HTML)
    return signed_in(client, role)
