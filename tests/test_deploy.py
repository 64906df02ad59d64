"""What is in deploy/: the compose file, the image, the systemd unit, the bundle. Validators that are missing are named as skipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dashboards.grafana.target import GRAFANA_VERSION
from service.doctor.live import SHIPPED_QUEUE
from service.settings.sections import HttpSection

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SERVICES = {"mosquitto", "influxdb", "renrum", "grafana", "prometheus"}
OURS = re.compile(r"renrum:\d+\.\d+\.\d+")
PINNED = re.compile(r"[a-z/-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?")


def composer() -> list[str] | None:
    """The command of a Docker Compose that is here; to check a file it needs no daemon."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return command
    return None


COMPOSE = composer()


def compose() -> dict[str, Any]:
    with (DEPLOY / "compose.yaml").open(encoding="utf-8") as file:
        document: dict[str, Any] = YAML(typ="safe").load(file)
    return document


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    services: dict[str, Any] = compose()["services"]
    assert set(services) == SERVICES
    found: dict[str, Any] = services[request.param]
    return found


# The compose file


def test_versions_are_pinned(service: dict[str, Any]) -> None:
    assert PINNED.fullmatch(service["image"]), service["image"]


def test_a_service_has_no_rights_that_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["user"] == "${RENRUM_UID:?see compose.env}:${RENRUM_GID:?see compose.env}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices", "userns_mode"} & set(service)
    assert service["networks"] in (["inside"], {"inside": {"aliases": ["${RENRUM_HOST:?see compose.env}"]}})


def test_a_service_is_watched_and_bounded(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["logging"]["options"]["max-size"]


def test_ports_are_those_of_loopback_unless_told(service: dict[str, Any]) -> None:
    for port in service["ports"]:
        assert re.fullmatch(r"(127\.0\.0\.1|\$\{RENRUM_LISTEN:-127\.0\.0\.1\}):(\d+):\2", port), port


def test_secrets_come_from_files(service: dict[str, Any]) -> None:
    secrets = compose()["secrets"]
    assert all(set(secret) == {"file"} for secret in secrets.values())
    assert set(service.get("secrets", ())) <= set(secrets)
    for name, value in service.get("environment", {}).items():
        if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
            assert value in ("true", "false") or str(value).startswith("/run/secrets/"), name


def test_what_is_mounted_is_made_before_not_by_the_daemon(service: dict[str, Any]) -> None:
    for volume in service["volumes"]:
        assert volume.get("read_only") or volume["bind"] == {"create_host_path": False}, volume
        assert volume["source"].startswith(("${RENRUM_CONFIG", "${RENRUM_DATA", "./"))


def test_every_secret_is_used() -> None:
    document = compose()
    used = {secret for one in document["services"].values() for secret in one.get("secrets", ())}
    assert used == set(document["secrets"])


def test_versions_agree_with_what_is_tested_and_built() -> None:
    services = compose()["services"]
    assert services["grafana"]["image"] == f"grafana/grafana:{GRAFANA_VERSION}"
    version = re.search(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert version is not None
    assert services["renrum"]["image"] == f"renrum:{version[1]}"


def test_ports_agree_with_the_settings() -> None:
    services = compose()["services"]
    assert services["renrum"]["ports"][0].endswith(f":{HttpSection().port}")
    shipped = (DEPLOY / "mosquitto/mosquitto.conf").read_text("utf-8")
    listener = re.findall(r"(?m)^listener (\d+)$", shipped)
    assert services["mosquitto"]["ports"][0].endswith(f":{listener[0]}")
    assert f"{int(listener[0]):X}" in services["mosquitto"]["healthcheck"]["test"][1]
    assert f"max_queued_messages {SHIPPED_QUEUE}\n" in shipped


@pytest.mark.skipif(COMPOSE is None, reason="Docker Compose is not installed (docker compose, docker-compose)")
@pytest.mark.parametrize("spoilt", ["", "restart:", "mem_limit:"])
def test_docker_compose_takes_the_file(spoilt: str, tmp_path: Path) -> None:
    assert COMPOSE is not None
    settings = {"RENRUM_CONFIG": "/etc/renrum", "RENRUM_DATA": "/srv", "RENRUM_UID": "1001", "RENRUM_GID": "1001", "RENRUM_HOST": "em.lab"}
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    text = (DEPLOY / "compose.yaml").read_text("utf-8").replace(spoilt, f"not_{spoilt}") if spoilt else None
    file = DEPLOY / "compose.yaml"
    if text is not None:
        file = tmp_path / "compose.yaml"
        file.write_text(text, "utf-8")
    command = [*COMPOSE, "--env-file", str(tmp_path / "env"), "--file", str(file), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not spoilt), done.stderr


# Shell


@pytest.mark.parametrize("script", ["deploy/install", "scripts/bundle"])
def test_scripts_parse(script: str) -> None:
    shell = "bash" if "bash" in (ROOT / script).read_text("utf-8").splitlines()[0] else "sh"
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run([shell, "-n", str(ROOT / script)], check=True)


# The image


def test_the_image_runs_as_nobody_in_particular_from_hashed_requirements() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    stages = re.findall(r"(?m)^FROM (\S+)", text)
    assert len(stages) == 2
    assert len(set(stages)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", stages[0])
    assert "--require-hashes -r requirements.txt" in text
    last = text[text.rindex("FROM ") :]
    assert re.findall(r"(?m)^USER (\d+):(\d+)$", last) == [("10001", "10001")]
    assert "HEALTHCHECK" in last
    assert "RUN pip" not in last


def test_the_image_is_built_from_every_package_and_nothing_else() -> None:
    import tomllib

    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    lines = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    taken = {line[1:] for line in lines if line.startswith("!")}
    assert taken == {*packages, "pyproject.toml", "README.md", "LICENSE", "requirements.txt", "wheels"}
    assert lines[1] == "*"


# systemd


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (apt install systemd)")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that is here: `verify` wants to see it."""
    text = (DEPLOY / "systemd/renrum.service").read_text("utf-8")
    assert "ExecStart=/opt/renrum/current/bin/renrum run " in text
    there = tmp_path / "renrum.service"
    there.write_text(text.replace("/opt/renrum/current/bin/renrum", sys.executable), "utf-8")
    return there


@needs_systemd
def test_systemd_takes_the_unit(unit: Path) -> None:
    done = analyzed("verify", "--man=no", str(unit))
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


@needs_systemd
def test_systemd_sees_a_mistake_in_a_unit(unit: Path) -> None:
    unit.write_text(unit.read_text("utf-8").replace("ProtectSystem=strict", "ProtectSystem=stern"), "utf-8")
    assert "stern" in analyzed("verify", "--man=no", str(unit)).stderr


@needs_systemd
def test_the_unit_is_exposed_little(unit: Path) -> None:
    done = analyzed("security", "--offline=true", "--threshold=20", str(unit))
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at loaded units only (older than 250)")
    assert done.returncode == 0, done.stdout[-300:]
    assert re.search(r"exposure level for renrum.service: (0|1)\.\d ", done.stdout)


def test_the_unit_and_the_image_do_as_the_settings_say() -> None:
    from service.supervised import BEAT_S

    text = (DEPLOY / "systemd/renrum.service").read_text("utf-8")
    watchdog = re.search(r"(?m)^WatchdogSec=(\d+)s$", text)
    assert watchdog is not None
    assert int(watchdog[1]) >= 3 * BEAT_S
