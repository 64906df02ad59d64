"""`renrum rules`: what is done with rules before and beside judging."""

from __future__ import annotations

import click

from service.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("service.cli.rules_list:list_rules", "List every rule: the master alarm list."),
    "diff": ("service.cli.rules_diff:diff", "Show what a change of rules would have done."),
    "test": ("service.cli.rules_tests:test", "Test rules: what happened, and what must come of it."),
}
"""name -> (module:command, what `renrum rules --help` says of it)."""


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def rules() -> None:
    """List rules, test them, and see what a change of them would have done.

    \b
    Examples:
      renrum rules list
      renrum rules test tests/pressure.yaml
      renrum rules diff --set dp-cascade.action.below=12 --last 90d
    """
