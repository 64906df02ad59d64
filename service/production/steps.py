"""What to do after `renrum init --production`, said once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from service.production.folder import Wanted

_BROKER_FILES = ("mosquitto/",)
_CONSOLE = "tls/console.pem"


def next_steps(path: Path, wanted: Wanted, written: Sequence[str]) -> str:
    """The next steps as text: all of them for a new folder, the broker's where only its files changed."""
    there = "/etc/mosquitto/renrum"
    copied = f"sudo cp -rT {path}/mosquitto {there} && sudo chown -R mosquitto: {there} && sudo systemctl reload mosquitto"
    reload = "docker compose restart mosquitto" if wanted.containers else copied
    restart = "docker compose restart renrum" if wanted.containers else "sudo systemctl restart renrum"
    accounts = [name.removeprefix("secrets/mqtt-") for name in written if name.startswith("secrets/mqtt-")]
    lines = [f"account {name}: its password is in {path}/secrets/mqtt-{name}" for name in accounts]
    if "renrum.yaml" not in written:
        again = [f"then {reload}"] if accounts or any(name.startswith(_BROKER_FILES) for name in written) else []
        again += [f"then {restart}"] if _CONSOLE in written else []
        return "\n".join([*lines, *again, f"renrum check --config {path}"])
    steps = [
        f"describe the site: {path}/facility.yaml, rules.yaml and oncall.yaml are examples; renrum check --config {path}",
        f"take {path}/authority/ca.key to a safe place: only new certificates need it",
        f"give instruments {path}/tls/ca.pem and an account each; sudo renrum init {path} --production --account NAME makes more",
        "follow docs/production.md from here: " + ("docker compose" if wanted.containers else "Mosquitto and systemd"),
    ]
    return "\n".join([*lines, "Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))])
