"""`renrum historian setup`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from influxdb_client.domain.authorization import Authorization
from influxdb_client.domain.bucket_retention_rules import BucketRetentionRules
from influxdb_client.domain.permission import Permission
from influxdb_client.domain.permission_resource import PermissionResource

from facility.files import Unreadable
from facility.secret import Secret, read_secret
from historian.influx import Influx, InfluxFault, explained
from historian.target import Target
from service.cli.historian import settings_of, token_files
from service.cli.options import Refusal, Span, config_option, json_option
from service.settings.historian import READ_TOKEN, TOKEN

ADMIN = "RENRUM_INFLUX_ADMIN_TOKEN"  # the name of a variable


@click.command()
@config_option
@click.option("--retention", type=Span(), help="How long the bucket keeps what is written, such as 730d.  [default: for ever]")
@click.option("--admin-token-file", type=click.Path(path_type=Path), help=f"Token that may make buckets and tokens; else ${ADMIN}.")
@click.option("--token-out", type=click.Path(path_type=Path), help="Write the token that writes here.  [default: token_file]")
@click.option(
    "--read-token-out", type=click.Path(path_type=Path), help="Write the one that reads, for Grafana too.  [default: read_token_file]"
)
@json_option
def setup(
    config: Path, retention: int | None, admin_token_file: Path | None, token_out: Path | None, read_token_out: Path | None, as_json: bool
) -> None:
    """Make the bucket and two tokens with no more rights than needed, one that writes to it and one that reads it; check both.

    The tokens go to files of mode 0600; a file that is there already is kept and its token checked. Without a file for it, a token is
    printed, once. What is there is left as it is, but for --retention. Without an admin token only the checks are made.

    \b
    Examples:
      RENRUM_INFLUX_ADMIN_TOKEN=… renrum historian setup --retention 730d
      renrum historian setup --admin-token-file /root/influx-admin --read-token-out secrets/influx-read
    """
    _, target = settings_of(config, tokens=False)
    write_file, read_file = token_files(config)
    said = _Said(target, {}, [])
    try:
        admin = read_secret(admin_token_file) if admin_token_file is not None else _from_environment(ADMIN)
        if admin is not None:
            with Influx(replace(target, token=admin, read_token=None)) as influx:
                made = _Making(influx, said)
                made.bucket(retention)
                target = replace(
                    target,
                    token=made.token("write", token_out or write_file, target.token),
                    read_token=made.token("read", read_token_out or read_file, target.read_token),
                )
        _checked(target, said)
    except InfluxFault as error:
        raise Refusal(str(error)) from None
    except Unreadable as error:
        raise Refusal(f"--admin-token-file: found {error}; allowed: a file with the token.") from None
    if as_json:
        click.echo(json.dumps({"target": target.name, "done": said.done, "tokens": said.tokens}))
        return
    for line in said.done:
        click.echo(line)
    for action, token in said.tokens.items():
        variable = TOKEN if action == "write" else READ_TOKEN
        click.echo(f"The token that may {action}, shown only now (for a file of mode 0600, or {variable}):\n{token}")


@dataclass(frozen=True, slots=True)
class _Said:
    target: Target
    tokens: dict[str, str]
    done: list[str]


class _Making:
    """What is made with the right to make it."""

    def __init__(self, influx: Influx, said: _Said) -> None:
        self._influx, self._said, self._target = influx, said, influx.target
        self._bucket: Any = None

    def bucket(self, retention_ns: int | None) -> None:
        """The bucket, made or found; its retention, where one was asked for."""
        buckets, client = self._target.bucket, self._influx.client
        rules = [] if retention_ns is None else [BucketRetentionRules(type="expire", every_seconds=max(retention_ns // 10**9, 1))]  # type: ignore[no-untyped-call]
        with explained(self._target):
            found = self._influx.bucket()
            if found is None:
                self._bucket = client.buckets_api().create_bucket(bucket_name=buckets, org=self._target.org, retention_rules=rules)
                self._said.done.append(f"bucket {buckets}: made, keeps {_kept(self._bucket)}")
                return
            self._bucket = found
            if rules:
                found.retention_rules = rules
                self._bucket = client.buckets_api().update_bucket(found)
            self._said.done.append(f"bucket {buckets}: is there, keeps {_kept(self._bucket)}")

    def token(self, action: str, path: Path | None, known: Secret | None) -> Secret:
        """A token for that action on the bucket: the known one, or a new one, which is written to the file or shown."""
        if known is not None:
            return known
        if path is not None and path.exists():
            return read_secret(path)
        resource = PermissionResource(type="buckets", id=self._bucket.id, org_id=self._bucket.org_id)  # type: ignore[no-untyped-call]
        with explained(self._target):
            made = self._influx.client.authorizations_api().create_authorization(
                authorization=Authorization(  # type: ignore[no-untyped-call]
                    org_id=self._bucket.org_id,
                    permissions=[Permission(action=action, resource=resource)],  # type: ignore[no-untyped-call]
                    description=f"renrum: may {action} {self._target.bucket}",
                )
            )
        if path is None:
            self._said.tokens[action] = made.token
        else:
            _write(path, made.token)
            self._said.done.append(f"token that may {action}: made, in {path}")
        return Secret(made.token)


def _write(path: Path, token: str) -> None:
    """A new file that only its owner may read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
    except OSError as error:
        raise Refusal(f"{path}: the token cannot be written ({error.strerror}). Name another file with --token-out.") from None


def _kept(bucket: Any) -> str:
    seconds = [rule.every_seconds for rule in bucket.retention_rules or () if rule.every_seconds]
    return f"{seconds[0] / 86_400:g} days" if seconds else "for ever"


def _checked(target: Target, said: _Said) -> None:
    """That the tokens may do what they are for; raises InfluxFault, Refusal."""
    if target.token is None:
        raise Refusal(f"There is no token that may write. Give an admin token with --admin-token-file or ${ADMIN}, and one is made.")
    with Influx(target) as influx:
        influx.write(b"")
    said.done.append(f"write: {target.name} takes it")
    with Influx(target, reading=True) as influx:
        try:
            bucket = influx.bucket()
        except InfluxFault:
            bucket = None
    if bucket is not None:
        said.done.append(f"read: the bucket can be seen, keeps {_kept(bucket)}")
    else:
        said.done.append(f"read: not with this token; compare and Grafana need one that may (read_token_file, ${READ_TOKEN})")


def _from_environment(name: str) -> Secret | None:
    text = os.environ.get(name)
    return Secret(text) if text else None
