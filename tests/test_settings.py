"""service/settings/settings.py: renrum.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from facility.files import Files
from facility.problems import Problem
from facility.secret import Secret
from service.settings.http import Http
from service.settings.settings import Mqtt, SettingsRead, Tls, read_settings

SECRET = "hunter2-is-secret"
NAMES = "environment: demo\nfacility: facility.yaml\nrules: rules.yaml\noncall: oncall.yaml\n"


def read(folder: Path, text: str, **environment: str) -> SettingsRead:
    return read_settings(Files(folder, {"renrum.yaml": text}), "renrum.yaml", environment)


def mqtt_of(folder: Path, mqtt: str, **environment: str) -> Mqtt:
    found = read(folder, f"{NAMES}mqtt: {mqtt}\n", **environment)
    assert not found.problems
    return found.settings.mqtt


def refused(folder: Path, text: str, **environment: str) -> list[Problem]:
    problems = sorted(read(folder, text, **environment).problems)
    assert SECRET not in "".join(map(str, problems))
    return problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(SECRET + "\r\n")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def test_the_defaults(folder: Path) -> None:
    found = read(folder, NAMES + "mqtt: {url: embedded}\n")
    settings = found.settings
    assert not found.problems
    assert (settings.folder, settings.data_dir) == (folder, folder / "data")
    assert (settings.environment, settings.facility, settings.rules, settings.oncall, settings.limits) == (
        "demo", "facility.yaml", ("rules.yaml",), "oncall.yaml", "",
    )  # fmt: skip
    assert (settings.evaluate_every_ns, settings.apply, settings.http) == (10**9, "on_start", Http())
    assert settings.mqtt == Mqtt(port=0, embedded=True)


def test_all_that_can_be_set(folder: Path) -> None:
    (folder / "ca.pem").write_text("")
    found = read(
        folder,
        "x-note: free\nenvironment: production\nfacility: f.yaml\nlimits: limits.csv\nrules: [a.yaml, b.yaml]\noncall: o.yaml\n"
        "data_dir: /var/lib/renrum\n"
        "mqtt: {url: 'mqtts://[::1]', username: u, password_file: secret, client_id: c, protocol: '3.1.1', receive_maximum: 20,\n"
        "  tls: {ca_file: ca.pem}}\n"
        "evaluate_every: 500ms\napply: on_start\nhttp: {host: '::1', port: 0, public_url: https://em.example.org/}\n",
    )
    assert not found.problems
    assert found.settings.mqtt == Mqtt(
        "::1", 8883, tls=Tls(folder / "ca.pem"), username="u", password=Secret(SECRET), client_id="c", protocol="3.1.1", receive_maximum=20
    )
    assert found.settings.http == Http("::1", 0, "https://em.example.org")
    assert found.settings.data_dir == Path("/var/lib/renrum")
    assert found.settings.rules == ("a.yaml", "b.yaml")
    assert SECRET not in repr(found.settings)


def test_addresses_of_brokers(folder: Path) -> None:
    assert mqtt_of(folder, "{url: 'mqtt://broker.example.org:1884'}") == Mqtt("broker.example.org", 1884)
    assert mqtt_of(folder, "{url: mqtts://broker}").tls == Tls()


def test_a_password_may_come_from_the_environment(folder: Path) -> None:
    mqtt = mqtt_of(folder, "{url: mqtt://b, username: u, password_file: secret}", RENRUM_MQTT_PASSWORD="other")
    assert mqtt.password == Secret("other")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (f"mqtt: {{url: 'mqtt://u:{SECRET}@h'}}", "mqtt.url"),
        (f"mqtt: {{url: mqtt://h, username: u, password: {SECRET}}}", "mqtt.password"),
        ("mqtt: {url: http://h}", "mqtt.url"),
        ("mqtt: {url: 'mqtt://h:99999'}", "mqtt.url"),
        ("mqtt: {url: 'mqtt://h/path'}", "mqtt.url"),
        ("mqtt: {url: mqtt://h, username: u, password_file: none}", "mqtt.password_file"),
        ("mqtt: {url: mqtt://h, password_file: secret}", "mqtt"),
        ("mqtt: {url: embedded, username: u}", "mqtt.username"),
        ("mqtt: {url: mqtt://h, tls: {}}", "mqtt.tls"),
        ("mqtt: {url: mqtts://h, tls: {ca_file: none.pem}}", "mqtt.tls.ca_file"),
        ("mqtt: {url: mqtts://h, tls: {key_file: secret}}", "mqtt.tls"),
        ("mqtt: {url: mqtt://h, protocol: 5}", "mqtt.protocol"),
        ("mqtt: {url: mqtt://h, protocol: '4'}", "mqtt.protocol"),
        ("mqtt: {url: mqtt://h, receive_maximum: 65536}", "mqtt.receive_maximum"),
        ("http: {host: 0.0.0.0}", "http.host"),
        ("http: {host: em.example.org}", "http.host"),
        ("http: {host: 0.0.0.0, users: required}", "http.host"),
        ("http: {host: 'em example'}", "http.host"),
        ("http: {users: off}", "http.users"),
        ("http: {trusted_proxies: [10.0.0.1/8]}", "http.trusted_proxies"),
        ("http: {tls: {cert_file: none.pem, key_file: secret}}", "http.tls.cert_file"),
        ("http: {session_idle: 13h}", "http.session_idle"),
        ("http: {port: -1}", "http.port"),
        ("http: {public_url: em.example.org}", "http.public_url"),
        ("apply: sometimes", "apply"),
        ("evaluate_every: 0s", "evaluate_every"),
        ("evaluate_every: 2 periods", "evaluate_every"),
        ("evaluate_every: 1", "evaluate_every"),
        ("historian: {}", "historian"),
    ],
)
def test_what_check_refuses(folder: Path, line: str, key: str) -> None:
    text = f"{NAMES}{line}\n" + ("" if line.startswith("mqtt") else "mqtt: {url: embedded}\n")
    (problem,) = refused(folder, text)
    assert problem.key.startswith(key)
    assert problem.line == 5
    assert problem.allowed


def test_required_keys_are_missed_all_at_once(folder: Path) -> None:
    assert [problem.found for problem in refused(folder, "mqtt: {}\n")] == [
        "no key 'environment'", "no key 'facility'", "no key 'oncall'", "no key 'rules'", "no key 'url'",
    ]  # fmt: skip
    assert refused(folder, "environment: prod\n")


@pytest.mark.parametrize("text", ["", "[]", "a: [", "mqtt: 3\nhttp: x\nrules: [3]\n"])
def test_no_nonsense_gives_more_than_problems(folder: Path, text: str) -> None:
    assert refused(folder, text)


def test_a_secret_shows_nowhere() -> None:
    secret = Secret(SECRET)
    assert SECRET not in f"{secret} {secret!r} {[secret]}"
    assert secret == Secret(SECRET)
    assert secret != Secret("x")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("host: 0.0.0.0", "without users"),
        ("host: 0.0.0.0, users: required", "in the clear"),
        ("host: 0.0.0.0, users: required, trusted_proxies: 172.18.0.0/16", ""),
        ("host: 0.0.0.0, users: required, tls: {cert_file: secret, key_file: secret}", ""),
        ("host: 0.0.0.0, tls: {cert_file: secret, key_file: secret}", "without users"),
        ("host: '::1'", ""),
    ],
)
def test_beyond_loopback_there_are_users_whose_passwords_are_out_of_hearing(folder: Path, line: str, words: str) -> None:
    text = f"{NAMES}mqtt: {{url: embedded}}\nhttp: {{{line}}}\n"
    if words:
        assert words in str(refused(folder, text)[0])
    else:
        assert read(folder, text).settings.http.host in ("0.0.0.0", "::1")
