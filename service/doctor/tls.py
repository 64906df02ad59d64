"""What `renrum doctor` says of certificates: ours, the authority that we trust, and the one that the broker shows."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from facility.problems import so_many
from service.configuration.configuration import Configuration
from service.doctor.installation import Finding
from service.settings.settings import Mqtt, Tls

SOON_DAYS = 30
DAY_NS = 86_400 * 10**9
_PATIENCE_S = 5.0
_REMEDY = "Renew it, put it in place and restart; docs/production.md says how."


def certificates(configuration: Configuration, at: int) -> Iterator[Finding]:
    """A finding for each certificate that this service uses or meets; `at` is ns UTC."""
    settings = configuration.settings
    if settings.http.tls is not None:
        yield in_file("console", settings.http.tls.cert_file, at)
    if settings.mqtt.tls is not None:
        for what, path in (("authority", settings.mqtt.tls.ca_file), ("client", settings.mqtt.tls.cert_file)):
            if path is not None:
                yield in_file(what, path, at)
        yield at_broker(settings.mqtt, settings.mqtt.tls, at)


def in_file(what: str, path: Path, at: int) -> Finding:
    """Of the certificates in a PEM file, the one that ends first."""
    try:
        ends = min(certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no certificate in PEM form"
        return Finding("certificates", "problem", f"{what}: {path}: {reason}", "Give the file that the authority issued, as PEM.")
    return _judged(f"{what}: {path}", ends, at)


def at_broker(mqtt: Mqtt, tls: Tls, at: int) -> Finding:
    """The one that the broker shows, checked as the session checks it."""
    where = f"broker: {mqtt.host}:{mqtt.port}"
    try:
        trust = ssl.create_default_context(cafile=None if tls.ca_file is None else str(tls.ca_file))
        if tls.cert_file is not None and tls.key_file is not None:
            trust.load_cert_chain(tls.cert_file, tls.key_file)
        with (
            socket.create_connection((mqtt.host, mqtt.port), timeout=_PATIENCE_S) as bare,
            trust.wrap_socket(bare, server_hostname=mqtt.host) as secured,
        ):
            shown = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
            with suppress(OSError):
                secured.unwrap()  # a proper end: without it the broker logs an error
    except ssl.SSLCertVerificationError as error:
        remedy = "The broker needs a certificate for that very name, signed by the authority of mqtt.tls.ca_file."
        return Finding("certificates", "problem", f"{where}: {error.verify_message}", remedy)
    except (OSError, ValueError) as error:
        return Finding("certificates", "warning", f"{where}: not seen: {error}", "Start the broker, or correct `mqtt.url` and `mqtt.tls`.")
    return _judged(where, shown.not_valid_after_utc, at)


def _judged(words: str, ends: datetime, at: int) -> Finding:
    days = (ends - datetime.fromtimestamp(at // 10**9, UTC)).days
    if days < 0:
        return Finding("certificates", "problem", f"{words}: expired on {ends:%Y-%m-%d}", _REMEDY)
    until = f"{words}: until {ends:%Y-%m-%d}, {so_many(days, 'day')}"
    return Finding("certificates", "warning", until, _REMEDY) if days < SOON_DAYS else Finding("certificates", "ok", until)
