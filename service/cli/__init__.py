"""The command line: one file a command, loaded when it is called for."""

from __future__ import annotations

from typing import Any

import click

from facility.problems import ConfigurationError
from service.cli.lazy import LazyGroup

COMMANDS = {
    "run": ("service.cli.run:run", "Run the service: ingest, rules, alarms, pages, console."),
    "demo": ("service.cli.demo:demo", "Run it all on embedded defaults with the simulator."),
    "init": ("service.cli.init:init", "Write a commented, working example configuration."),
    "check": ("service.cli.check:check", "Check a configuration: all problems at once."),
    "apply": ("service.cli.apply:apply", "Put changed files in force: shown, confirmed, recorded value by value."),
    "history": ("service.cli.history:history", "What judged a point, over the years: who changed what, when and why."),
    "schema": ("service.cli.schema:schema", "Print the JSON Schema of a configuration file."),
    "discover": ("service.cli.discover:discover", "List what the broker says that nobody configured."),
    "rules": ("service.cli.rules:rules", "List rules, test them, see what a change would have done."),
    "doctor": ("service.cli.doctor:doctor", "Examine the installation and a running service."),
    "simulate": ("service.cli.simulate:simulate", "Simulate cleanrooms into a file or over MQTT."),
    "replay": ("service.cli.replay:replay", "Judge a recording, or publish it over MQTT."),
    "score": ("service.cli.score:score", "Score rules: how surely and how fast they find simulated faults."),
    "explain": ("service.cli.explain:explain", "Explain why there was, or was not, an alarm at a point."),
    "export": ("service.cli.export:export", "Write readings to a file."),
    "excursions": ("service.cli.excursions:excursions", "List excursions."),
    "alarms": ("service.cli.alarms:alarms", "List alarms."),
    "audit": ("service.cli.audit:audit", "List the audit trail: who changed what, when and why."),
    "oncall": ("service.cli.oncall:oncall", "Who has the duty; who would be told what of an alarm."),
    "quarantine": ("service.cli.quarantine:quarantine", "List what could not be understood."),
    "users": ("service.cli.users:users", "Who may sign in, with which role; tokens for programs."),
    "backup": ("service.cli.backup:backup", "Back up the journal and the configuration, once or continuously."),
    "restore": ("service.cli.restore:restore", "Make a data_dir from a backup, and say what stays unknown."),
    "historian": ("service.cli.historian:historian", "InfluxDB: set it up, fill it, compare it with the journal."),
    "watch": ("service.cli.watch:watch", "On a second machine: page when the service is silent."),
    "manifest": ("service.cli.manifest:manifest", "What is installed here, and whether it is what was shipped."),
    "dashboards": ("service.cli.dashboards:dashboards", "Build Grafana's dashboards from the facility and the rules."),
    "challenge": ("service.cli.challenge:challenge", "Challenge every rule on an instance of its own: the OQ protocol."),
    "verify": ("service.cli.verify:verify", "Prove that the journal is whole and judged as the rules say."),
}
"""name -> (module:command, what `renrum --help` says of it)."""


class Renrum(LazyGroup):
    """The commands; a wrong name gets a hint; what the configuration or this user's rights forbid ends with exit code 2."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from facility.document import did_you_mean

            hint = did_you_mean(args[0], tuple(COMMANDS)) or "`renrum --help` lists the commands."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(str(problem), err=True)
            ctx.exit(2)
        except PermissionError as error:
            from facility.files import AS_THE_SERVICE

            click.echo(f"Error: {error.filename}: {error.strerror}. {AS_THE_SERVICE}", err=True)
            ctx.exit(2)


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version  # slow to load

    try:
        click.echo(f"renrum {version('renrum')}")
    except PackageNotFoundError:
        click.echo("renrum, not installed")
    ctx.exit()


@click.group(cls=Renrum, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version and exit.")
def main() -> None:
    """Renrum, environmental monitoring for cleanrooms: every reading kept, every excursion proven, people told.

    \b
    Examples:
      renrum demo --duration 30s
      renrum init site && renrum check --config site/renrum.yaml
    """
