"""`renrum oncall test`."""

from __future__ import annotations

import json
import os
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from service.cli.options import Refusal, Span, actor, config_option, json_option
from service.cli.readmit import TOKEN, token_of
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.running import NotDone, running_service

LOOK_EVERY_S = 2.0
TOKEN_NEEDED = (
    f"Make a token, once: renrum users token add NAME --role supervisor --expires 1d; give it with --token-file FILE or in {TOKEN}."
)


@click.command()
@click.option("--to", "names", multiple=True, metavar="NAME", help="A person, team or rotation; several times for several. Else everyone.")
@click.option("--within", type=Span(), default="30m", show_default=True, metavar="SPAN", help="So soon somebody must acknowledge.")
@click.option("--wait", is_flag=True, help="Wait until somebody does, or nobody did.")
@config_option
@click.option("--url", metavar="URL", help="Address of the running service, when it is not the one of the configuration.")
@click.option("--token-file", type=click.Path(path_type=Path), help=f"File with a token of the service; or the variable {TOKEN}.")
@json_option
def test(names: tuple[str, ...], within: int, wait: bool, config: Path, url: str | None, token_file: Path | None, as_json: bool) -> None:
    """Have the running service send a page that must be acknowledged, by the link in it.

    That nobody does is told like a technical alarm of high priority. With --wait the exit code is 0 when it was acknowledged in time, 1
    when not.

    \b
    Examples:
      renrum oncall test --to facility
      renrum oncall test --to anna --within 10m --wait
    """
    configuration = load_configuration(config, os.environ)
    service = running_service(configuration.settings, url, token_of(token_file))
    body: dict[str, Any] = {"to": list(names), "within_s": within // 10**9}
    if service.token is None:
        body["by"] = actor()
    try:
        found = service.post("/api/v1/oncall/tests", body)
        if wait and not as_json:
            click.echo(f"{found['id']} is sent, to be acknowledged by {found['deadline']}", err=True)
        while wait and found["state"] == "sent":
            SystemClock().sleep(LOOK_EVERY_S)
            found = service.get(f"/api/v1/oncall/tests/{found['id']}")
    except NotDone as error:
        if error.status == HTTPStatus.UNAUTHORIZED and service.token is None:
            raise Refusal(f"{service.url} wants to know who asks. {TOKEN_NEEDED}") from None
        raise Refusal(str(error)) from None
    by = f" by {found['acknowledged_by']}" if found["acknowledged_by"] else ""
    until = f", to be acknowledged by {found['deadline']}" if found["state"] == "sent" else ""
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else f"{found['id']}: {found['state']}{by}{until}")
    sys.exit(1 if wait and found["state"] != "acknowledged" else 0)
