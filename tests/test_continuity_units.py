"""The systemd units of the watch and of the continuous backup."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command

from service.cli.backup import backup
from service.cli.watch import watch

UNITS = Path(__file__).parents[1] / "deploy" / "systemd"
NAMES = ("renrum-watch.service", "renrum-backup.service")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (apt install systemd)")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name
    unit.write_text((UNITS / name).read_text("utf-8").replace("/opt/renrum/current/bin/renrum", sys.executable), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if name in line]) == (0, [])


@pytest.mark.parametrize(("name", "command"), list(zip(NAMES, (watch, backup), strict=True)))
def test_the_units_use_options_that_there_are(name: str, command: Command) -> None:
    text = (UNITS / name).read_text("utf-8")
    known = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"(?<=\s)--[a-z-]+", "".join(re.findall(r"(?:ExecStart|_OPTIONS)=(.*)", text)))) <= known
