"""`renrum dashboards`: Grafana as code."""

from __future__ import annotations

import os
from pathlib import Path

import click

from facility.problems import so_many
from service.cli.options import Refusal, config_option
from service.settings.http import Http

LOCAL_INFLUXDB, LOCAL_PROMETHEUS = "http://127.0.0.1:8086", "http://127.0.0.1:9090"


@click.group()
def dashboards() -> None:
    """Dashboards and provisioning for Grafana, from the facility and the rules."""


@dashboards.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@config_option
@click.option("--influxdb-url", help="InfluxDB as Grafana reaches it.  [default: historian.influxdb.url of renrum.yaml]")
@click.option("--prometheus-url", default=LOCAL_PROMETHEUS, show_default=True, help="Prometheus as Grafana reaches it.")
@click.option("--token-file", default="", help="File, as Grafana reaches it, with a token that may read the bucket.")
@click.option(
    "--grafana-folder", default="/etc/grafana/renrum", show_default=True, help="Where Grafana finds DIR: the same, or where it is mounted."
)
def build(folder: Path, config: Path, influxdb_url: str | None, prometheus_url: str, token_file: str, grafana_folder: str) -> None:
    """Write dashboards and provisioning into DIR. They come from the configuration alone: the same one gives the same bytes.

    The token is never written: Grafana reads it from --token-file, or from RENRUM_GRAFANA_INFLUX_TOKEN in its environment.
    Files of an earlier build are replaced, other files in DIR are left alone.

    \b
    Example:
      renrum dashboards build /etc/renrum/grafana --token-file /run/secrets/influx-read
      # and in Grafana's environment:
      #   GF_PATHS_PROVISIONING=/etc/grafana/renrum/provisioning
    """
    from dashboards.grafana.build import Sources, files
    from dashboards.grafana.outline import Outline
    from service.configuration.configuration import load_configuration

    loaded = load_configuration(config, os.environ)
    settings = loaded.settings
    outline = Outline.of(loaded.facility, loaded.rules, loaded.tables, _console(settings.http))
    target = settings.historian
    sources = Sources(
        influxdb_url or (target.url if target else LOCAL_INFLUXDB),
        target.org if target else "site",
        target.bucket if target else "em",
        prometheus_url,
        token_file,
        grafana_folder.rstrip("/"),
    )
    _write(folder, files(outline, sources))
    if target is None:
        click.echo("renrum.yaml names no historian: the data source has the organisation `site` and the bucket `em`.", err=True)


def _console(http: Http) -> str:
    """The address of the console as people open it."""
    return http.public_url or f"{http.scheme}://{http.host}:{http.port}"


def _write(folder: Path, content: dict[str, bytes]) -> None:
    """Write what differs; a dashboard that is not built any more goes."""
    kept = changed = 0
    try:
        for name, data in content.items():
            path = folder / name
            if path.is_file() and path.read_bytes() == data:
                kept += 1
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            changed += 1
            click.echo(f"wrote {path}")
        for stale in sorted(folder.glob("dashboards/renrum-*.json")):
            if str(stale.relative_to(folder)) not in content:
                stale.unlink()
                click.echo(f"removed {stale}")
    except OSError as error:
        raise Refusal(f"{folder} cannot be written: {error.strerror}") from None
    click.echo(f"{so_many(changed, 'file')} written, {kept} as they were.")
