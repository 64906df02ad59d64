"""`renrum init --production`: what it writes, that Mosquitto and the service live by it, that it touches nothing there."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import stat
import time
import urllib.error
import urllib.request
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from facility.secret import exposed
from service.cli import main
from service.doctor.tls import in_file
from service.production.authority import Authority, certificate_pem, new_key
from tests.support.mosquitto import needs_mosquitto
from tests.support.production import Installed, ProductionBroker, init, instrument, trusting

HOST = "em.example.org"
DAY_NS = 86_400 * 10**9
NAMED = ("--name", 'The "lab"', "--timezone", "Europe/Paris")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests look at and leave alone."""
    folder = tmp_path_factory.mktemp("production") / "site"
    made = init(
        folder, "--host", HOST, "--data-dir", str(folder / "data"), "--site", "lab", "--name", 'The "lab"', "--timezone", "Europe/Paris"
    )
    assert made.exit_code == 0, made.output
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What it writes


def test_check_accepts_it(site: Path) -> None:
    result = CliRunner().invoke(main, ["check", "--json", "--config", str(site)])
    assert (result.exit_code, json.loads(result.stdout)["problems"]) == (0, [])
    text = (site / "facility.yaml").read_text("utf-8")
    assert 'site: {id: lab, name: "The \\"lab\\"", timezone: Europe/Paris}' in text
    assert "real:" not in text
    assert "flemingsberg" not in text
    assert "environment: production" in (site / "renrum.yaml").read_text("utf-8")


def test_secrets_are_for_the_owner_alone(site: Path) -> None:
    modes = {str(path.relative_to(site)): stat.S_IMODE(path.stat().st_mode) for path in site.rglob("*")}
    private = [name for name in modes if name.startswith(("secrets/", "authority/", "mosquitto/")) or name.endswith(".key")]
    assert {modes[name] for name in private if not name.endswith("server.pem")} == {0o600}
    assert {modes[name] for name in ("secrets", "authority", "mosquitto")} == {0o700}
    assert not any(exposed(path) for path in site.rglob("*"))


def test_every_installation_has_secrets_of_its_own(site: Path, tmp_path: Path) -> None:
    assert init(tmp_path / "other").exit_code == 0
    mine, other = contents(site), contents(tmp_path / "other")
    differ = [name for name in mine if name.startswith("secrets/") or name.endswith((".key", ".pem", "passwords"))]
    assert len(differ) == 14
    assert [name for name in differ if mine[name] == other[name]] == []
    secrets = [content.strip() for name, content in mine.items() if name.startswith("secrets/")]
    assert len(set(secrets)) == len(secrets)
    assert all(len(secret) >= 40 for secret in secrets)


def test_no_secret_is_shown_or_stands_in_a_file_that_is_read(site: Path, tmp_path: Path) -> None:
    shown = init(tmp_path / "site").output
    files = contents(tmp_path / "site")
    secrets = [content.strip().decode() for name, content in files.items() if name.startswith("secrets/")]
    elsewhere = [content.decode() for name, content in files.items() if not name.startswith("secrets/")]
    assert not any(secret in text for secret in secrets for text in (shown, *elsewhere))


def test_run_again_it_touches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    assert init(folder, "--host", HOST).exit_code == 0
    (folder / "rules.yaml").write_text("rules: []\n")
    (folder / "secrets/influx-operator").write_text("mine\n")
    before = contents(folder)
    again = init(folder, "--host", "other.example.org")
    assert again.exit_code == 0
    assert "wrote" not in again.output
    assert contents(folder) == before


def test_force_is_refused(tmp_path: Path) -> None:
    assert init(tmp_path / "site", "--force").exit_code == 2
    assert not (tmp_path / "site").exists()
    result = CliRunner().invoke(main, ["init", str(tmp_path / "site"), "--host", HOST])
    assert result.exit_code == 2
    assert "--host goes with --production" in result.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--host", "no such/host"),
        ("--site", "a/b"),
        ("--timezone", "Mars/Olympus"),
        ("--account", "a:b"),
        ("--owner", "nobody-of-that-name"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(option: str, value: str, tmp_path: Path) -> None:
    assert init(tmp_path / "site", option, value).exit_code == 2
    assert not (tmp_path / "site").exists()


def test_an_account_more_keeps_those_before(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    init(folder)
    before = contents(folder)
    assert init(folder, "--account", "gateway2", "--account", "counter-7").exit_code == 0
    after = contents(folder)
    assert set(after) - set(before) == {"secrets/mqtt-gateway2", "secrets/mqtt-counter-7"}
    assert {name for name in before if before[name] != after[name]} == {"mosquitto/passwords", "mosquitto/acl"}
    for name in ("mosquitto/passwords", "mosquitto/acl"):
        assert after[name].startswith(before[name])


def test_the_commands_that_it_names_are_whole_and_can_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    init(folder)
    there = "/etc/mosquitto/renrum"
    copied = f"then sudo cp -rT {folder}/mosquitto {there} && sudo chown -R mosquitto: {there} && sudo systemctl reload mosquitto"
    lines = init(folder, "--account", "gateway2").output.splitlines()
    assert copied in lines
    assert "then sudo systemctl restart renrum" not in lines
    (folder / "tls/console.pem").unlink()
    lines = init(folder).output.splitlines()
    assert copied not in lines
    assert "then sudo systemctl restart renrum" in lines


def test_an_account_that_was_taken_away_or_handed_over_stays_so(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    init(folder)
    (folder / "secrets/mqtt-gateway1").unlink()
    assert init(folder).exit_code == 0  # its instrument has the password, and nobody else needs it
    passwords = folder / "mosquitto/passwords"
    passwords.write_text("".join(line for line in passwords.read_text().splitlines(True) if not line.startswith("gateway1:")))
    assert init(folder, "--account", "gateway2").exit_code == 0
    assert "gateway1:" not in passwords.read_text()


@pytest.mark.parametrize(
    ("arguments", "place"),
    [((), "/etc/prometheus/secrets/renrum-token"), (("--containers", "--owner", "10001"), "/run/secrets/prometheus")],
)
def test_prometheus_finds_its_token_where_it_outlives_a_restart(arguments: tuple[str, ...], place: str, tmp_path: Path) -> None:
    if arguments and os.geteuid() != 0:
        pytest.skip("gives files to another account, which root alone may")
    assert init(tmp_path / "site", *arguments).exit_code == 0
    assert f"credentials_file: {place}" in (tmp_path / "site/prometheus/prometheus.yml").read_text("utf-8")


def test_a_lost_secret_is_named(tmp_path: Path) -> None:
    init(tmp_path / "site")
    (tmp_path / "site/secrets/mqtt").unlink()
    result = init(tmp_path / "site")
    assert result.exit_code == 2
    assert "secrets/mqtt is missing" in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another account, which root alone may")
def test_files_are_given_to_the_owner_and_no_container_runs_as_root(tmp_path: Path) -> None:
    refused = init(tmp_path / "site", "--containers")
    assert refused.exit_code == 2
    assert "never as root" in refused.output
    assert init(tmp_path / "site", "--containers", "--owner", "10001", "--host", HOST).exit_code == 0
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "site").rglob("*")} == {(10001, 10001)}
    assert "RENRUM_UID=10001\n" in (tmp_path / "site/compose.env").read_text()
    assert "url: mqtts://mosquitto:8883" in (tmp_path / "site/renrum.yaml").read_text()


# Certificates


def verified(site: Path, certificate: Path, name: str) -> int:
    """The length of the chain by which a client that trusts the site's authority accepts a server."""
    authority = x509.load_pem_x509_certificate((site / "tls/ca.pem").read_bytes())
    subject = x509.DNSName(name)
    verifier = PolicyBuilder().store(Store([authority])).time(datetime.now(UTC)).build_server_verifier(subject)
    return len(verifier.verify(x509.load_pem_x509_certificate(certificate.read_bytes()), []))


@pytest.mark.parametrize("certificate", ["tls/console.pem", "mosquitto/server.pem"])
def test_certificates_are_for_this_machine_and_no_other(site: Path, certificate: str) -> None:
    assert verified(site, site / certificate, HOST) == 2
    assert verified(site, site / certificate, "localhost") == 2
    with pytest.raises(VerificationError):
        verified(site, site / certificate, "other.example.org")


def test_renewing_is_deleting_and_running_again(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    init(folder, "--host", HOST)
    before = contents(folder)
    (folder / "tls/console.pem").unlink()
    assert init(folder).exit_code == 0  # without --host: the name is known from renrum.yaml
    after = contents(folder)
    assert {name for name in before if before[name] != after[name]} == {"tls/console.pem"}
    assert verified(folder, folder / "tls/console.pem", HOST) == 2


def test_the_authority_key_can_be_kept_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    init(folder)
    (folder / "authority/ca.key").unlink()
    assert init(folder, "--account", "gateway2").exit_code == 0
    (folder / "tls/console.pem").unlink()
    refused = init(folder)
    assert refused.exit_code == 2
    assert "authority/ca.key: put the authority's key back" in refused.output


@pytest.mark.parametrize(("days", "verdict"), [(0, "ok"), (794, "ok"), (796, "warning"), (826, "problem")])
def test_doctor_warns_a_month_before_a_certificate_ends(tmp_path: Path, days: int, verdict: str) -> None:
    made = Authority.new("test", 0)
    (tmp_path / "c.pem").write_bytes(certificate_pem(made.issue([HOST], new_key(), 0)))
    assert in_file("console", tmp_path / "c.pem", days * DAY_NS).verdict == verdict


def test_doctor_names_a_file_that_holds_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("nothing")
    assert "no certificate in PEM form" in in_file("console", tmp_path / "c.pem", 0).words


# The broker


@needs_mosquitto
def test_mosquitto_lives_by_the_files(site: Path, tmp_path: Path) -> None:
    assert init(site, "--account", "gateway2").exit_code == 0
    with ProductionBroker(tmp_path / "broker", site / "mosquitto") as broker:
        with instrument(site, broker.port, "renrum") as service:
            assert service.told() == "Success"
            for topic in ("#", "$SYS/#"):  # Mosquitto grants both, and sends what the access list allows
                service.client.subscribe(topic, qos=1)
                assert service.told() == "Granted QoS 1"
            for topic, answer in (("renrum/lab/$marker/x", "Success"), ("renrum/lab/cp1/cp1.temp", "Not authorized")):
                service.client.publish(topic, b"x", qos=1)
                assert service.told() == answer, topic
            for account in ("gateway1", "gateway2"):
                with instrument(site, broker.port, account) as gateway:
                    assert gateway.told() == "Success"
                    for topic, answer in (
                        ("renrum/lab/cp1/cp1.temp", "Success"),
                        ("renrum/lab/cp1/occupancy", "Success"),
                        ("renrum/lab/$marker/x", "Not authorized"),
                        ("elsewhere", "Not authorized"),
                    ):
                        gateway.client.publish(topic, account.encode(), qos=1)
                        assert gateway.told() in (answer, "No matching subscribers"), topic
                        assert (gateway.answers[-1].value < 128) == (answer == "Success"), topic
            time.sleep(0.2)
            assert service.topics == ["renrum/lab/$marker/x", *["renrum/lab/cp1/cp1.temp", "renrum/lab/cp1/occupancy"] * 2]
        for account, password in (("gateway1", "wrong"), ("nobody", "x"), ("", "")):
            with instrument(site, broker.port, account, password) as stranger:
                assert stranger.told() == "Not authorized"


@needs_mosquitto
def test_gateways_read_nothing(site: Path, tmp_path: Path) -> None:
    with ProductionBroker(tmp_path / "broker", site / "mosquitto") as broker, instrument(site, broker.port) as gateway:
        gateway.told()
        gateway.client.subscribe("renrum/#", qos=1)
        gateway.told()
        gateway.client.publish("renrum/lab/cp1/cp1.temp", b"x", qos=1)
        gateway.told()
        time.sleep(0.2)
        assert gateway.topics == []


@needs_mosquitto
def test_the_broker_takes_no_other_certificate_and_no_old_tls(site: Path, tmp_path: Path) -> None:
    with ProductionBroker(tmp_path / "broker", site / "mosquitto") as broker:
        bare = ssl.create_default_context()
        with socket.create_connection(("localhost", broker.port)) as line, pytest.raises(ssl.SSLCertVerificationError):
            bare.wrap_socket(line, server_hostname="localhost")
        with socket.create_connection(("localhost", broker.port)) as line, pytest.raises(ssl.SSLCertVerificationError):
            trusting(site).wrap_socket(line, server_hostname="other.example.org")
        with (
            socket.create_connection(("localhost", broker.port)) as line,
            trusting(site).wrap_socket(line, server_hostname=HOST) as secured,
        ):
            assert secured.version() in ("TLSv1.2", "TLSv1.3")
        old = trusting(site)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("localhost", broker.port)) as line, pytest.raises(ssl.SSLError):
            old.wrap_socket(line, server_hostname=HOST)


# The service


def is_ready(url: str, trust: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=trust, timeout=10) as answer:
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


@needs_mosquitto
def test_a_service_of_these_files_gets_ready_over_tls(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    assert init(folder, "--host", HOST, "--data-dir", str(folder / "data"), "--site", "lab").exit_code == 0
    with ProductionBroker(tmp_path / "broker", folder / "mosquitto") as broker, Installed(folder, broker) as service:
        service.until_listening()
        assert service.url.startswith("https://127.0.0.1:")
        service.until(lambda: is_ready(f"{service.url}readyz", trusting(folder)))
        with instrument(folder, broker.port) as gateway:
            gateway.told()
            reading = json.dumps({"time": datetime.now(UTC).isoformat(), "value": 21.5, "unit": "degC", "seq": 1})
            gateway.client.publish("renrum/lab/cp1/cp1.climate.temp", reading, qos=1)
            assert gateway.told() == "Success"
        service.until_stored(1)
        port = re.findall(r":(\d+)/", service.url)[0]
        text = service.config.read_text("utf-8")
        service.config.write_text(text.replace("port: 0", f"port: {port}"), "utf-8")
        found = json.loads(CliRunner().invoke(main, ["doctor", "--json", "--config", str(folder)]).stdout)["checks"]
        assert [one for one in found if one["verdict"] == "problem" and one["check"] != "channels"] == []
        certificates = [one["words"] for one in found if one["check"] == "certificates"]
        assert [words.partition(":")[0] for words in certificates] == ["console", "authority", "broker"]
        service.stop()
