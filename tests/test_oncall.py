"""alerts/duty/oncall.py: oncall.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.channels import Email, Local, Webhook
from alerts.duty.oncall import OnCall, load_oncall, read_oncall
from alerts.duty.roster import Person, Way
from facility.files import Files
from facility.problems import ConfigurationError, Problem
from facility.secret import Secret

SECRET = "hunter2-is-secret"


def load(folder: Path, text: str, **environment: str) -> OnCall:
    (folder / "oncall.yaml").write_text(text, encoding="utf-8")
    (folder / "secret").write_text(SECRET + "\n")
    (folder / "secret").chmod(0o600)
    return load_oncall(folder / "oncall.yaml", environment)


def refused(folder: Path, text: str, **environment: str) -> list[Problem]:
    with pytest.raises(ConfigurationError) as error:
        load(folder, text, **environment)
    assert SECRET not in str(error.value)
    return list(error.value.problems)


def test_channels_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "phones").write_text("# two\njson://localhost/a\njson://localhost/b\n")
    oncall = load(
        tmp_path,
        "channels:\n"
        "  duty: {kind: email, host: smtp, from: em@x.se, to: [a@x.se, b@x.se], username: em, password_file: secret}\n"
        "  relay: {kind: email, host: smtp, port: 2525, security: none, from: em@x.se, to: [a@x.se]}\n"
        "  hook: {kind: webhook, url: https://hook.example.org/em, token_file: secret}\n"
        "  hidden: {kind: webhook, url_file: secret}\n"
        "  phone: {kind: apprise, url_file: phones}\n"
        "  sink: {kind: local, file: data/pages.jsonl}\n"
        "people:\n  - {id: anna, name: Anna Berg, language: sv, reach: [phone, {email: anna@x.se}]}\n  - {id: bo}\n",
    )
    password = Secret(SECRET)
    assert set(oncall.everyone) == {"duty/a@x.se", "duty/b@x.se", "relay", "hook", "hidden", "phone/1", "phone/2", "sink"}
    assert set(oncall.channels) == {*oncall.everyone, "duty/anna@x.se"}
    assert oncall.channels["duty/anna@x.se"] == Email("smtp", 587, "em@x.se", "anna@x.se", "starttls", "em", password)
    assert oncall.channels["duty/b@x.se"] == Email("smtp", 587, "em@x.se", "b@x.se", "starttls", "em", password)
    assert oncall.channels["relay"] == Email("smtp", 2525, "em@x.se", "a@x.se", "none")
    assert oncall.channels["hook"] == Webhook(Secret("https://hook.example.org/em"), password)
    assert oncall.channels["hidden"] == Webhook(password)
    assert oncall.channels["sink"] == Local(tmp_path / "data/pages.jsonl")
    ways = Way(("phone/1", "phone/2"), frozenset({"phone", "apprise"})), Way(("duty/anna@x.se",), frozenset({"duty", "email"}))
    assert oncall.roster.people == {"anna": Person("anna", "Anna Berg", "sv", ways), "bo": Person("bo", "bo")}
    assert SECRET not in repr(oncall)


def test_channels_may_be_a_list(tmp_path: Path) -> None:
    oncall = load(tmp_path, "channels:\n  - {id: sink, kind: local, file: f}\n  - {id: hook, kind: webhook, url: http://h/x}\n")
    assert list(oncall.channels) == ["sink", "hook"]


def test_secrets_may_come_from_the_environment(tmp_path: Path) -> None:
    text = "channels: {on-duty: {kind: email, host: h, from: a@b, to: [c@d], username: u}, hook: {kind: webhook}}\n"
    oncall = load(tmp_path, text, RENRUM_CHANNEL_ON_DUTY_PASSWORD=SECRET, RENRUM_CHANNEL_HOOK_URL="https://h/" + SECRET)
    mail = oncall.channels["on-duty"]
    assert isinstance(mail, Email)
    assert mail.password == Secret(SECRET)
    assert oncall.channels["hook"] == Webhook(Secret("https://h/" + SECRET))


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "odd").write_text(f"nosuch://{SECRET}\n")
    problems = refused(
        tmp_path,
        "channels:\n"
        "  a: {kind: emial}\n"
        "  b: {kind: email, host: h, from: x, to: [], username: u, security: ssl, pasword_file: p}\n"
        f"  c: {{kind: webhook, url: 'https://u:{SECRET}@h/x'}}\n"
        "  d: {kind: apprise, url_file: nix}\n"
        "  e: {kind: apprise, url_file: odd}\n"
        "  f: {kind: webhook, url: https://h, url_file: secret}\n"
        "  g: {kind: webhook}\n"
        "  h: {kind: webhook, url_file: empty}\n"
        "  i: {kind: local}\n"
        "  j: {host: x}\n"
        "  k: 3\n"
        "  'l m': {kind: local, file: f}\n"
        "people:\n  - {id: p, language: de, reach: [zz, {mail: a@b}]}\n  - {id: p}\n",
    )
    found = [(problem.line, problem.key) for problem in problems]
    assert found == [
        (2, "channels.a.kind"), (3, "channels.b.from"), (3, "channels.b.pasword_file"), (3, "channels.b.security"), (3, "channels.b.to"),
        (4, "channels.c.url"), (5, "channels.d.url_file"), (6, "channels.e.url_file"), (7, "channels.f.url_file"), (8, "channels.g.url"),
        (9, "channels.h.url_file"), (10, "channels.i"), (11, "channels.j.kind"), (12, "channels.k"), (13, "channels.l m.id"),
        (15, "people[0].language"), (15, "people[0].reach[0]"), (15, "people[0].reach[1]"), (16, "people[1].id"),
    ]  # fmt: skip
    assert problems[0].hint == "Did you mean email?"
    assert problems[2].hint == "Did you mean password_file?"


def test_a_username_needs_its_password(tmp_path: Path) -> None:
    mail = "channels: {{m: {{kind: email, host: h, from: a@b, to: [c@d], {}}}}}\n"
    assert refused(tmp_path, mail.format("username: u"))[0].key == "channels.m.username"
    assert refused(tmp_path, mail.format("password_file: secret"))[0].key == "channels.m.password_file"


def test_a_mail_address_needs_a_channel_that_mails(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "channels: {s: {kind: local, file: f}}\npeople: [{id: p, reach: [{email: a@b}]}]\n")
    assert "kind email" in problem.found


def test_a_secret_that_all_may_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o644)
    files = Files(tmp_path, {"oncall.yaml": "channels: {h: {kind: webhook, url_file: secret}}\n"})
    _, problems, warnings = read_oncall(files, "oncall.yaml", {})
    assert not problems
    assert "every user" in warnings[0].found
    assert set(files.texts) == {"oncall.yaml"}


@pytest.mark.parametrize("text", ["", "channels: 3", "people: x", "channels: [3]", "channels: {a: {kind: [x]}}"])
def test_no_nonsense_gives_more_than_problems(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text)


def test_nobody_to_tell_is_a_warning(tmp_path: Path) -> None:
    _, problems, warnings = read_oncall(Files(tmp_path, {"oncall.yaml": "channels: {}\n"}), "oncall.yaml", {})
    assert not problems
    assert "nobody" in warnings[0].found
