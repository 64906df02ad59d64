"""The running API asked whatever its OpenAPI document allows, and what it does not: an answer each time, never an error of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dashboards import api
from dashboards.app import build_app
from dashboards.openapi import document
from dashboards.views import ExcursionQuery
from tests.support.browser import Server
from tests.support.watched import Watched, fall

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install -e .[dev])")
DOCUMENT = json.loads(json.dumps(document(api.OPERATIONS, "0")))
ENDLESS = "/api/v1/events"
OPERATIONS = sorted((path, method) for path, methods in DOCUMENT["paths"].items() if path != ENDLESS for method in methods)
FEW = hypothesis.settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(tmp_path_factory.mktemp("site"))
    fall(watched, 8.0)
    yield watched
    watched.close()


@pytest.fixture(scope="module")
def url(site: Watched) -> Iterator[str]:
    with Server(build_app(site.monitor)) as server:
        yield server.url


def test_the_document_is_the_one_that_is_served(site: Watched) -> None:
    with TestClient(build_app(site.monitor), "http://127.0.0.1:8480") as client:
        assert client.get("/api/v1/openapi.json").json()["paths"].keys() == DOCUMENT["paths"].keys()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_question_is_answered_by_an_error_of_our_own(site: Watched, url: str, path: str, method: str) -> None:
    (excursion,) = site.monitor.excursions(ExcursionQuery(), 1).items
    there_is = {"alarms": "A1", "excursions": excursion.id, "points": excursion.point, "rooms": excursion.room}.get(
        path.removeprefix("/api/v1/").split("/")[0], ""
    )
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operation = schema[path][method.upper()]
    both = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE) | operation.as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )

    @FEW
    @hypothesis.given(case=both, known=st.booleans())
    def asked(case: Any, known: bool) -> None:
        if known and there_is and "{id}" in path:
            case.path_parameters = {"id": there_is}
        reply = case.call(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=20)
        assert reply.status_code < 500, (reply.status_code, reply.text, case.as_curl_command())

    asked()
