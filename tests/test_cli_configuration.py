"""The command line: the group, and `init`, `check`, `schema`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from facility.problems import ConfigurationError, Problem
from service.cli import COMMANDS, Renrum, main
from service.cli import options as cli_options
from service.cli.options import configuration_path
from service.cli.schema import NAMES, schema_of


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    assert run("init", tmp_path / "site").exit_code == 0
    return tmp_path / "site"


def test_help_lists_every_command_and_loads_none() -> None:
    script = "import sys; from service.cli import main; main(['-h'], standalone_mode=False); print(sorted(sys.modules), file=sys.stderr)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    for name in COMMANDS:
        assert f"  {name} " in shown.stdout
    for module in ("numpy", "pydantic", "ruamel.yaml", "paho"):
        assert f"'{module}'" not in shown.stderr


def test_each_command_names_a_module_of_its_own() -> None:
    assert all(target == f"service.cli.{name}:{name}" for name, (target, _) in COMMANDS.items())


def test_an_unknown_command_gets_a_suggestion() -> None:
    result = run("chekc")
    assert result.exit_code == 2
    assert "Did you mean check?" in result.stderr


def test_version() -> None:
    assert run("--version").output.startswith("renrum")


def test_configuration_errors_end_every_command_with_two() -> None:
    @click.command()
    def failing() -> None:
        raise ConfigurationError([Problem("f.yaml", 3, "a", "x", "y")])

    class Failing(Renrum):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            return failing

    result = CliRunner().invoke(Failing("renrum", commands_at=COMMANDS), ["check"])
    assert result.exit_code == 2
    assert result.stderr == "f.yaml:3: a: found x; allowed: y.\n"


def test_init_writes_what_check_accepts(site: Path) -> None:
    assert {file.name for file in site.iterdir()} >= {"renrum.yaml", "facility.yaml", "rules.yaml", "oncall.yaml"}
    result = run("check", "--config", site / "renrum.yaml")
    assert result.exit_code == 0
    assert "ok: " in result.output
    assert run("check", "--config", site).exit_code == 0
    document = json.loads(run("check", "--json", "--config", site).stdout)
    assert (document["ok"], document["problems"]) == (True, [])
    assert document["counts"]["points"] > 10


def test_init_keeps_what_is_there(site: Path) -> None:
    (site / "rules.yaml").write_text("rules: []\n")
    result = run("init", site)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert (site / "rules.yaml").read_text() == "rules: []\n"
    assert run("init", site, "--force").exit_code == 0
    assert (site / "rules.yaml").read_text() != "rules: []\n"
    (site / "file").write_text("")
    assert run("init", site / "file").exit_code == 2


def test_check_prints_every_problem_and_no_traceback(site: Path) -> None:
    (site / "oncall.yaml").write_text("channels: {a: {kind: emial}}\n")
    (site / "rules.yaml").write_text("rules:\n  - {id: r, kind: limit, above: 3, selct: {}}\n")
    result = run("check", "--config", site / "renrum.yaml")
    assert result.exit_code == 2
    kind = "channels.a.kind: found 'emial'; allowed: email, webhook, apprise, local, alertmanager, beacon. Did you mean email?"
    assert f"{site}/oncall.yaml:1: {kind}" in result.stderr
    assert f"{site}/rules.yaml:2: rules[0].selct: found the unknown key 'selct'" in result.stderr
    assert "Traceback" not in result.output
    document = run("check", "--json", "--config", site / "renrum.yaml")
    assert document.exit_code == 2
    assert {problem["line"] for problem in json.loads(document.stdout)["problems"]} == {1, 2}


def test_check_warns_without_failing(site: Path) -> None:
    (site / "rules.yaml").write_text("rules:\n  - {id: r, kind: quality, select: {room: nowhere}}\n")
    result = run("check", "--config", site / "renrum.yaml")
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "matches no point" in result.stderr


def test_where_the_configuration_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_options, "SYSTEM", tmp_path / "etc.yaml")
    with pytest.raises(ConfigurationError, match="renrum init"):
        configuration_path(None, {})
    (tmp_path / "etc.yaml").write_text("")
    assert configuration_path(None, {}) == tmp_path / "etc.yaml"
    assert configuration_path(None, {"RENRUM_CONFIG": "other.yaml"}) == Path("other.yaml")
    (tmp_path / "renrum.yaml").write_text("")
    assert configuration_path(None, {"RENRUM_CONFIG": "other.yaml"}) == Path("renrum.yaml")
    assert configuration_path(Path("given.yaml"), {}) == Path("given.yaml")


@contextmanager
def somebody_else() -> Iterator[None]:
    """As a user who may do less than root; whoever is none already stays who they are."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_where_this_user_may_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, etc = tmp_path / "home", tmp_path / "etc"
    for folder in (home, etc):
        folder.mkdir()
    (etc / "renrum.yaml").write_text("")
    monkeypatch.chdir(home)
    monkeypatch.delenv("RENRUM_CONFIG", raising=False)
    monkeypatch.setattr(cli_options, "SYSTEM", etc / "renrum.yaml")
    commands = (
        ("check",), ("excursions",), ("users", "list"), ("verify",), ("check", "--config", etc), ("alarms", "--config", etc),
        ("users", "list", "--data-dir", etc / "data"),
    )  # fmt: skip
    in_data_dir = [(name, "--data-dir", folder) for name in ("alarms", "doctor", "verify") for folder in (etc, etc / "data")]
    for arguments in (*commands, *in_data_dir):
        run(arguments[0], "--help")  # loaded while it can be
    for folder in (home, etc):
        folder.chmod(0)
    try:
        with somebody_else():
            refused = [run(*arguments) for arguments in commands]
            closed = [run(*arguments) for arguments in in_data_dir]
    finally:
        for folder in (home, etc):
            folder.chmod(0o700)
    for result in refused:
        assert (result.exit_code, "sudo -u renrum renrum" in result.output) == (2, True), result.output
        assert "Traceback" not in result.output
    for result in closed:
        assert isinstance(result.exception, SystemExit), result.exception
        assert ("Permission denied" in result.output, "Run this as the " in result.output) == (True, True), result.output


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_published(name: str) -> None:
    result = run("schema", name)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["type"] == "object"
    assert document["additionalProperties"] is False
    assert name == "limits" or "^x-" in document["patternProperties"]


def test_schemas_name_what_is_allowed() -> None:
    facility = json.dumps(schema_of("facility"))
    assert '"freezer_80"' in facility
    assert "points_file" in facility
    assert '"from"' in json.dumps(schema_of("oncall"))
    assert '"stale"' in json.dumps(schema_of("rules"))
    assert run("schema", "nothing").exit_code == 2


def test_who_acts_has_a_name_where_the_machine_knows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert re.fullmatch(r"user \d+ at the command line", cli_options.actor())
