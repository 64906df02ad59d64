"""`renrum discover`: what the broker says that nobody configured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from facility.document import one_of
from facility.problems import ConfigurationError, so_many
from ingest.mqtt.link import Connection
from service.cli.options import GIVEN_PATH, PASSWORD, Refusal, Url, configuration_path, json_option
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.connection import connection_of
from service.discovery.heard import Heard, NotHeard, Topic, listen
from service.discovery.sorted_out import Discovery, facility_lines, native_point, sort_out, sources_lines
from simulators.broker import Broker

SHOWN = 300
"""So many characters of a payload are shown to people."""


@click.command()
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml to compare with; without one nothing counts as configured.")
@click.option(
    "--url", type=Url(), help=f"The broker, such as mqtt://user@host; password in {PASSWORD}.  [default: that of the configuration]"
)
@click.option("--topic", "topic_filter", default="#", show_default=True, metavar="FILTER", help="Listen to this topic filter only.")
@click.option("--seconds", type=click.FloatRange(min=0.1, max=86_400), default=60.0, show_default=True, help="How long to listen.")
@json_option
def discover(config: Path | None, url: Broker | None, topic_filter: str, seconds: float, as_json: bool) -> None:
    """List what the broker says that nobody configured, with ready YAML.

    Listens with a client of its own that only reads: it needs no more rights than that, keeps no session at the broker, and takes nothing
    from a running service. Native topics of unknown rooms and points become lines for facility.yaml; foreign JSON becomes a draft of
    sources.yaml with the points that it feeds. What is guessed is marked as guessed: a person has to confirm it.

    \b
    Examples:
      renrum discover
      renrum discover --seconds 300 --topic 'plant/#'
      renrum discover --url mqtt://em@broker.example.org --json
    """
    configuration = _configuration(config, url)
    connection = _connection(configuration, url)
    heard = Heard()
    clock = SystemClock()
    versions = ("5", "3.1.1") if connection.protocol == "auto" else (connection.protocol,)
    for attempt, version in enumerate(versions, 1):
        try:
            listen(connection, version, topic_filter, seconds, clock.monotonic_ns, heard)
            break
        except NotHeard as error:
            if attempt == len(versions) or heard.topics:
                raise Refusal(str(error)) from None
    facility = configuration.facility if configuration else None
    found = sort_out(heard, facility, configuration.sources if configuration else ())
    if as_json:
        click.echo(json.dumps(_document(found, heard, configuration, seconds), indent=2, ensure_ascii=False))
        return
    _show(found, heard, configuration, seconds)


def _configuration(config: Path | None, url: Broker | None) -> Configuration | None:
    """The configuration, None where there is none at all and a URL says where to listen."""
    try:
        path = configuration_path(config, os.environ)
    except ConfigurationError:
        if url is None:
            raise
        return None
    return load_configuration(path, os.environ)


def _connection(configuration: Configuration | None, url: Broker | None) -> Connection:
    if url is not None:
        return Connection(url.host, url.port, tls=url.tls, username=url.username, password=url.password)
    assert configuration is not None
    if configuration.settings.mqtt.embedded:
        raise Refusal(
            "The configuration uses the built-in broker, which listens on a free port: name it with --url (`renrum run` prints it)."
        )
    return connection_of(configuration.settings.mqtt)


def _show(found: Discovery, heard: Heard, configuration: Configuration | None, seconds: float) -> None:
    messages = sum(topic.count for topic in heard.topics.values()) + heard.left_out
    beyond = f", and {so_many(heard.left_out, 'message')} on topics beyond the first {len(heard.topics):,}" if heard.left_out else ""
    click.echo(
        f"# {so_many(messages, 'message')} on {so_many(len(heard.topics), 'topic')} in {seconds:g} s{beyond}; "
        f"{so_many(found.configured, 'topic')} configured"
    )
    if found.nothing:
        click.echo(
            "# Nothing else was heard." if heard.topics else "# Nothing was heard: is this the broker, and may this account read there?"
        )
        return
    for unknown in found.unknown:
        _told(unknown.topic, unknown.detail)
    for draft in found.drafts:
        for name in draft.topics:
            _told(found.topics[name], "")
    for topic in found.sparkplug:
        _told(topic, "Sparkplug B")
    for topic in found.others:
        _told(topic, "no JSON with readings in it")
    for title, lines in (
        ("facility.yaml", facility_lines(found, configuration.facility if configuration else None)),
        ("sources.yaml (and `sources: sources.yaml` in renrum.yaml)", sources_lines(found)),
    ):
        if lines:
            click.echo(f"\n# --- for {title}")
            click.echo("\n".join(lines))
    if found.sparkplug:
        groups = tuple(sorted({topic.name.split("/")[1] for topic in found.sparkplug if "/" in topic.name}))
        click.echo(f"\n# Sparkplug B, groups {one_of(groups)}: a source of `kind: sparkplug` in sources.yaml reads it.")


def _told(topic: Topic, words: str) -> None:
    rate = "" if topic.interval_s is None else f", one every {topic.interval_s:.3g} s"
    kept = f", {topic.retained} retained" if topic.retained else ""
    lossy = ", QoS 0" if topic.unacknowledged else ""
    click.echo(f"# {topic.name}: {topic.count}{rate}{kept}{lossy}{f': {words}' if words else ''}")
    click.echo(f"#   {_payload(topic.sample)[:SHOWN]}")


def _payload(sample: bytes) -> str:
    text = sample.decode("utf-8", "backslashreplace")
    return " ".join("".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text).split())


def _document(found: Discovery, heard: Heard, configuration: Configuration | None, seconds: float) -> dict[str, Any]:
    def topic(one: Topic) -> dict[str, Any]:
        return {
            "topic": one.name, "count": one.count, "interval_s": one.interval_s, "retained": one.retained, "qos_0": one.unacknowledged,
            "sample": one.sample.decode("utf-8", "backslashreplace"),
        }  # fmt: skip

    unknown = []
    for one in found.unknown:
        point = native_point(one)
        guess = None if point is None else {"quantity": point.guess.quantity, "unit": point.guess.unit, "period": point.period}
        unknown.append(
            topic(one.topic) | {"room": one.room, "point": one.point, "reason": one.reason, "detail": one.detail, "guessed": guess}
        )
    return {
        "seconds": seconds,
        "topics": len(heard.topics),
        "left_out": heard.left_out,
        "configured": found.configured,
        "unknown": unknown,
        "foreign": [topic(found.topics[name]) | {"source": draft.id} for draft in found.drafts for name in draft.topics],
        "sparkplug": [topic(one) for one in found.sparkplug],
        "others": [topic(one) for one in found.others],
        "facility_yaml": "\n".join(facility_lines(found, configuration.facility if configuration else None)),
        "sources_yaml": "\n".join(sources_lines(found)),
    }
