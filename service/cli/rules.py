"""`renrum rules`: what is done with rules before and beside judging."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "list": ("service.cli.rules_list:list_rules", "List every rule: the master alarm list."),
    "diff": ("service.cli.rules_diff:diff", "Show what a change of rules would have done."),
    "test": ("service.cli.rules_tests:test", "Test rules: what happened, and what must come of it."),
}
"""name -> (module:command, what `renrum rules --help` says of it)."""


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
def rules() -> None:
    """List rules, test them, and see what a change of them would have done.

    \b
    Examples:
      renrum rules list
      renrum rules test tests/pressure.yaml
      renrum rules diff --set dp-low.above=12 --last 90d
    """
