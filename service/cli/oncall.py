"""`renrum oncall`: who has the duty, and who would be told what."""

from __future__ import annotations

import click

from service.cli.lazy import LazyGroup

COMMANDS = {
    "who": ("service.cli.oncall_who:who", "Who has the duty, and until when."),
    "test": ("service.cli.oncall_drill:test", "Send a page that must be acknowledged."),
    "pin": ("service.cli.oncall_pin:pin", "Set a person's PIN for replies by mail."),
    "preview": ("service.cli.oncall_preview:preview", "Who would be told what, when, for an alarm."),
}
"""name -> (module:command, what `renrum oncall --help` says of it)."""


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def oncall() -> None:
    """Who has the duty, and who would be told what of an alarm.

    \b
    Examples:
      renrum oncall who
      renrum oncall who --at 2026-12-24T20:00
      renrum oncall preview dp-cascade cp1.dp1.dp --at 2026-12-24T20:00
      renrum oncall test --to facility --wait
    """
