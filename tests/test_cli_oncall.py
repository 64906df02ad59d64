"""`renrum oncall who` and `preview`, and what `check` says of a roster."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from socket import create_server

import pytest
from click.testing import CliRunner

from service.cli import main

ONCALL = """
channels:
  sink: {kind: local, file: pages}
  anna-phone: {kind: local, file: anna}
  mail: {kind: email, host: h, from: em@x.se}
people:
  - {id: anna, name: Anna Berg, reach: [{channel: anna-phone, kind: sms}]}
  - {id: bo, name: Bo Lind, reach: [{email: bo@x.se, for: low}]}
  - {id: nils}
rotations:
  duty: {members: [anna, nils], start: 2026-01-05, handover: "Mon 08:00"}
  later: {members: [anna], start: 2199-01-01, handover: "08:00", length: 1d}
working_hours: {from: "07:00", to: "16:30"}
policies:
  urgent: {steps: [{to: duty}, {after: 10m, to: anna, by: sms}], repeat: 20m}
  mails: {steps: [{to: bo}]}
routes:
  - {priority: critical, policy: nobody}
  - {priority: high, policy: urgent}
  - {priority: medium, hours: working, policy: mails}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    assert CliRunner().invoke(main, ["init", str(tmp_path / "site")]).exit_code == 0
    (tmp_path / "site/oncall.yaml").write_text(ONCALL)
    return tmp_path / "site"


def said(site: Path, *words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--config", str(site)])
    assert result.exit_code == 0, result.output
    return result.output


def test_check_says_what_the_roster_leaves_open(site: Path) -> None:
    warnings = {warning["key"]: warning["found"] for warning in json.loads(said(site, "check", "--json"))["warnings"]}
    keys = [(warning["key"], warning["found"]) for warning in json.loads(said(site, "check", "--json"))["warnings"]]
    assert "nils" in warnings["people"]
    assert "critical alarms that nobody is told of" in warnings["routes[0]"]
    assert "medium alarms reach nobody" in warnings["routes[2]"]
    assert "nobody may have acknowledged" in warnings["policies.mails"]
    assert "nobody on duty" in warnings["rotations.later.start"]
    assert ("routes", "no route for medium alarms outside of working hours: they go to every channel at once") in keys
    assert "policies.urgent" not in warnings


def test_who_has_the_duty_at_a_time(site: Path) -> None:
    duties = json.loads(said(site, "oncall", "who", "--at", "2026-01-06T03:00", "--json"))["duties"]
    assert duties[0] == {
        "rotation": "duty", "person": "anna", "name": "Anna Berg", "until": "2026-01-12T07:00:00Z", "instead_of": None, "next": "nils",
    }  # fmt: skip
    assert duties[1]["name"] == "nobody"


def test_preview_tells_who_would_be_told_what(site: Path) -> None:
    words = ("oncall", "preview", "dp-cascade", "cp1.dp1.dp", "--at", "2026-01-06T03:00", "--span", "40m")
    lines = [line.split() for line in said(site, *words).splitlines()]
    assert [(line[1], line[2], line[-1]) for line in lines[1:4]] == [
        ("03:00:00", "+0", "anna-phone"), ("03:10:00", "+10", "anna-phone"), ("03:30:00", "+30", "anna-phone"),
    ]  # fmt: skip
    document = json.loads(said(site, *words, "--json"))
    assert document["goes_on"]
    assert document["notices"][0]["person"] == "anna"
    assert "9.9 Pa below 10 Pa" in document["page"]["subject"]
    day = said(site, *words[:-1], "12h")
    everything = len(json.loads(said(site, *words[:-1], "12h", "--json"))["notices"])
    shown = [line for line in day.splitlines() if "anna-phone" in line]
    assert f"… and {everything - len(shown)} more repetitions of these until 2026-01-06 14:50:00; --json lists all" in day, day
    assert len(shown) < 10


def test_preview_says_why_it_is_not_as_the_policy_has_it(site: Path) -> None:
    shown = said(site, "oncall", "preview", "dp-cascade.action", "cp1.dp1.dp", "--at", "2026-01-13T03:00", "--span", "5m")
    assert "anna-phone  (step 1 of urgent reaches nobody now)" in shown
    assert "nobody is told" in said(site, "oncall", "preview", "dp-reversal", "cp1.dp1.dp")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dp-cascad", "cp1.dp1.dp"), "Did you mean dp-cascade"),
        (("dp-cascade", "cp1.dp1.d"), "Did you mean cp1.dp1.dp?"),
        (("velocity", "cp1.dp1.dp"), "does not judge"),
        (("A1",), "no service has run"),
        (("a", "b", "c"), "3 words"),
    ],
)
def test_what_cannot_be_previewed_is_refused(site: Path, words: tuple[str, ...], says: str) -> None:
    result = CliRunner().invoke(main, ["oncall", "preview", *words, "--config", str(site)])
    assert result.exit_code == 2
    assert says in result.output


def test_without_routes_everybody_is_told_at_once(site: Path) -> None:
    (site / "oncall.yaml").write_text("channels: {sink: {kind: local, file: pages}}\n")
    assert "every channel  sink" in said(site, "oncall", "preview", "dp-cascade", "cp1.dp1.dp")
    assert "no rotation" in said(site, "oncall", "who")


@pytest.mark.parametrize("url", ["em", "", "http://127.0.0.1:x", "http://[::1", "http://a b", "http://127.0.0.1:9"])
def test_what_is_no_address_of_a_service_is_named(site: Path, url: str) -> None:
    result = CliRunner().invoke(main, ["oncall", "test", "--url", url, "--config", str(site)])
    assert (result.exit_code, "does not answer" in result.output) == (2, True), result.output


def test_what_speaks_no_http_is_named(site: Path) -> None:
    with create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(1)
                caller.sendall(b"SSH-2.0-OpenSSH\r\n")

        threading.Thread(target=greet, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        result = CliRunner().invoke(main, ["oncall", "test", "--url", address, "--config", str(site)])
    assert (result.exit_code, f"{address} does not answer" in result.output) == (2, True), result.output
