"""A real SMTP server on a free port of the loopback, with mailboxes that tests look into and answers that they choose."""

from __future__ import annotations

import asyncio
import email
import email.policy
import shutil
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.collector import Collector


@dataclass
class Mailboxes:
    """What the server holds and how it answers: `recipient_answers` and `data_answer` take the place of 250."""

    port: int = 0
    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)
    recipient_answers: dict[str, str] = field(default_factory=dict)
    data_answer: str = "250 taken"
    login: tuple[str, str] | None = None
    login_answer: str = "535 5.7.8 not accepted"
    quit_answer: str = "221 Bye"
    collector: Collector = field(default_factory=Collector)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.recipient_answers:
            return self.recipient_answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if not self.data_answer.startswith("250"):
            return self.data_answer
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, _class=EmailMessage, policy=email.policy.SMTP)
        for recipient in envelope.rcpt_tos:
            self.mails.append((recipient, mail))
            self.collector.received(recipient, mail["Message-ID"].strip("<>").rpartition("-")[0])
        return self.data_answer

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return self.quit_answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        if given == self.login:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=self.login_answer)


@contextmanager
def smtp_server(*, login: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None, security: str = "none") -> Iterator[Mailboxes]:
    """The server while the context lasts; `security` none, starttls or tls as in the channel's configuration."""
    boxes = Mailboxes(login=login)
    loop = asyncio.new_event_loop()

    clients: list[SMTP] = []

    def session() -> SMTP:
        starttls = tls if security == "starttls" else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a login without TLS is what some tests are about
            client = SMTP(
                boxes, hostname="mail.test", loop=loop, tls_context=starttls, require_starttls=starttls is not None,
                authenticator=boxes.authenticate, auth_required=login is not None, auth_require_tls=False, enable_SMTPUTF8=True,
            )  # fmt: skip
        clients.append(client)
        return client

    outer = tls if security == "tls" else None
    listener = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0, ssl=outer))
    boxes.port = listener.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="smtp", daemon=True)
    thread.start()
    try:
        yield boxes
    finally:
        asyncio.run_coroutine_threadsafe(_end(listener, clients), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _end(listener: asyncio.Server, clients: list[SMTP]) -> None:
    """Close everything, so that nothing is left for the garbage collector to complain of."""
    listener.close()
    for client in clients:
        if isinstance(client.transport, asyncio.WriteTransport):
            client.transport.abort()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


def certificate(folder: Path, host: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A server's context and the file of its self-signed certificate for `host`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate to test TLS with")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
