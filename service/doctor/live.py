"""What `renrum doctor` looks at last: the running service, and the broker."""

from __future__ import annotations

import json
import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path

from ingest.mqtt.probe import broker_keeps_queue
from service.clock import Clock
from service.configuration.configuration import Configuration
from service.connection import connection_of
from service.doctor.installation import Finding
from service.lock import DataDirInUse, holder_of
from service.running import running_service
from service.settings.settings import Settings

SHIPPED_QUEUE = 10_000_000
"""`max_queued_messages` of deploy/mosquitto/mosquitto.conf."""
MOSQUITTO_QUEUE = 1_000
"""The same when nobody sets it."""
_PATIENCE_S = 5.0


def service_on(data_dir: Path, settings: Settings | None) -> Iterator[Finding]:
    """Whether a service runs on the data_dir, and how it fares."""
    try:
        holder = holder_of(data_dir)
    except OSError as error:
        yield Finding("service", "problem", f"{error.filename}: {error.strerror}", "Run this as the service's user.")
        return
    if holder is None:
        yield Finding(
            "service", "warning", f"no service runs on {data_dir}", "Start it with `renrum run`; while it is away, nobody is paged."
        )
        return
    yield Finding("service", "ok", f"process {holder.pid} runs on {data_dir}" if holder.pid else f"one runs on {data_dir}")
    if settings is not None:
        yield from _health(settings, holder)


def broker(configuration: Configuration, clock: Clock) -> Iterator[Finding]:
    """Whether the broker can be reached, whether it keeps messages for us, and for how long."""
    mqtt = configuration.settings.mqtt
    if mqtt.embedded:
        production = configuration.settings.environment == "production"
        words = "the built-in broker, a part of the service: while that is away, nothing is kept for it"
        remedy = "Use a broker of its own, on another host, in production." if production else ""
        yield Finding("broker", "warning" if production else "ok", words, remedy)
        return
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        socket.create_connection((mqtt.host, mqtt.port), timeout=_PATIENCE_S).close()
    except OSError as error:
        remedy = "Start the broker, or correct `mqtt.url`; look for a firewall between."
        yield Finding("broker", "problem", f"{where} cannot be reached: {error.strerror or error}", remedy)
        return
    keeps, words = _keeps_queue(configuration, clock)
    known = keeps or "could not be found out" not in words
    remedy = "" if keeps else "Set persistence and max_queued_messages as in deploy/mosquitto/mosquitto.conf." if known else (
        "Correct mqtt.username, password_file and tls, and let the account publish and read its own $marker topic (deploy/mosquitto/acl)."
    )  # fmt: skip
    yield Finding("broker", "ok" if keeps else "problem", f"{where} is there; {words}", remedy)
    if keeps:
        yield _outage(configuration)


def _health(settings: Settings, holder: DataDirInUse) -> Iterator[Finding]:
    service = running_service(settings, None, None)
    address = service.url
    for path, words in (("/healthz", "alive"), ("/readyz", "connected and caught up")):
        try:
            with service.opener.open(address + path, timeout=_PATIENCE_S) as answer:
                answer.read()
                yield Finding("health", "ok", f"{address}{path}: {words}")
        except urllib.error.HTTPError as error:
            with error:
                failed = _failed_checks(error.read())
            remedy = "See the service's log; `renrum doctor` again in a minute."
            yield Finding("health", "problem", f"{address}{path}: {error.code}; {failed}", remedy)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            remedy = f"If it started just now, wait; else see its log: process {holder.pid} holds the data_dir and does not answer."
            yield Finding("health", "problem", f"{address}{path} does not answer: {reason}", remedy)
            return


def _failed_checks(body: bytes) -> str:
    try:
        checks = [check for check in json.loads(body)["checks"] if not check["ok"]]
        return "; ".join(f"{check['name']}: {check['words']}" for check in checks)
    except (ValueError, KeyError, TypeError):
        return "no answer that can be understood"


def _keeps_queue(configuration: Configuration, clock: Clock) -> tuple[bool, str]:
    mqtt = configuration.settings.mqtt
    connection = connection_of(mqtt)
    found = False, ""
    for protocol in ("5", "3.1.1") if mqtt.protocol == "auto" else (mqtt.protocol,):
        found = broker_keeps_queue(connection, protocol, configuration.facility.site.id, clock.monotonic_ns)
        if found[0] or "could not be found out" not in found[1]:
            break
    return found


def _outage(configuration: Configuration) -> Finding:
    """How long the service may be away; the protocol does not tell how long the broker's queue is."""
    living = [point for point in configuration.facility.points if point.retired_ns is None and not point.on_change]
    periods = [point.period_ns for point in living if point.period_ns]
    rate = sum(10**9 / period for period in periods)
    if not rate:
        return Finding("outage", "ok", "no point has a period, so it is not known how long the broker's queue lasts")
    shipped, bare = _span(SHIPPED_QUEUE / rate), _span(MOSQUITTO_QUEUE / rate)
    lasts = f"a queue of {SHIPPED_QUEUE:,} (deploy/mosquitto) lasts {shipped}, Mosquitto's default of {MOSQUITTO_QUEUE:,} {bare}"
    return Finding("outage", "ok", f"at {rate:.3g} messages/s {lasts}; which it is, MQTT does not tell")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
