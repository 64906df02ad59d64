"""`renrum oncall`: who has the duty, and who would be told what."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "who": ("service.cli.oncall_who:who", "Who has the duty, and until when."),
    "test": ("service.cli.oncall_drill:test", "Send a page that must be acknowledged."),
    "pin": ("service.cli.oncall_pin:pin", "Set a person's PIN for replies by mail."),
    "preview": ("service.cli.oncall_preview:preview", "Who would be told what, when, for an alarm."),
}
"""name -> (module:command, what `renrum oncall --help` says of it)."""


class _Group(click.Group):
    """Its commands are loaded when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Group)
def oncall() -> None:
    """Who has the duty, and who would be told what of an alarm.

    \b
    Examples:
      renrum oncall who
      renrum oncall who --at 2026-12-24T20:00
      renrum oncall preview dp-low cp1.dp --at 2026-12-24T20:00
      renrum oncall test --to facility --wait
    """
