"""A site with `apply: signed` whose people are Karin, a supervisor, Ola, an operator, and the administrator of the first start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alerts.people import people as people_module
from alerts.people.office import Office, On
from alerts.people.people import People
from facility.secret import Secret
from service.clock import SystemClock
from service.pipeline import Pipeline
from tests.support.changing import edited, loaded, written
from tests.support.people import PASSWORD, cheap

KARIN = "Karin Ek (karin)"


def staffed(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Its folder, put in force by a first start. In the environment: RENRUM_PASSWORD, PROGRAM (a token), FIRST (the one-time password)."""
    patch.setattr(people_module, "Passwords", cheap)
    patch.delenv("RENRUM_TOKEN", raising=False)
    written(folder)
    edited(folder, "renrum.yaml", "apply: on_start", "apply: signed")
    edited(folder, "renrum.yaml", "http: {port: 0}", "http: {port: 0, users: required}")
    with running(folder) as pipeline:
        assert pipeline.people is not None
        assert pipeline.first_password is not None
        office = Office(pipeline.people.register, pipeline.people.now_ns, cheap)
        for id, name, role in (("karin", "Karin Ek", "supervisor"), ("ola", "Ola Berg", "operator")):
            chosen(pipeline.people, id, office.add(id, name, role, On("a test")))
        patch.setenv("FIRST", pipeline.first_password.reveal())
        patch.setenv("PROGRAM", office.add_token("mes", "supervisor", 10**15, On("a test")).reveal())
    patch.setenv("RENRUM_PASSWORD", PASSWORD)
    return folder


def chosen(people: People, id: str, first: Secret) -> None:
    """PASSWORD in place of a one-time one."""
    who = people.of_session(people.sign_in(id, first, "here").reveal())
    assert who is not None
    people.change_password(who, first, Secret(PASSWORD), "here")


@contextmanager
def running(folder: Path) -> Iterator[Pipeline]:
    """The service on the files of a folder."""
    pipeline = Pipeline(loaded(folder), SystemClock(), lambda: loaded(folder))
    pipeline.start()
    try:
        yield pipeline
    finally:
        pipeline.stop()
