"""Mail over SMTP: one message to one recipient."""

from __future__ import annotations

import base64
import contextlib
import email.policy
import email.utils
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from html import escape
from typing import TYPE_CHECKING

from alerts.channels.channel import DeliveryError, redacted, reveal
from alerts.pages.page import Page
from facility.secret import Secret

if TYPE_CHECKING:
    from alerts.pages.trend import Picture


@dataclass(frozen=True, slots=True)
class Email:
    """A mailbox and the server that takes mail for it; `security` is none, starttls or tls, both with a check of the certificate.

    `draw` gives the picture of a page, if there is one; it must neither fail nor take long.
    """

    host: str
    port: int
    sender: str
    recipient: str
    security: str = "starttls"
    username: str = ""
    password: str | Secret | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    draw: Callable[[Page], Picture | None] | None = field(default=None, repr=False, compare=False)

    def send(self, page: Page) -> None:
        """Hand the page to the server; a DeliveryError is permanent when the server answered 5xx."""
        message = compose(page, self.sender, self.recipient, self.draw(page) if self.draw is not None else None)
        try:
            with contextlib.closing(self._connect()) as server:
                server.send_message(message, self.sender, [self.recipient])
                # The message is taken: what goes wrong while saying goodbye must not send it again.
                with contextlib.suppress(OSError):
                    server.quit()
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refusal(*next(iter(error.recipients.values()))) from None
        except smtplib.SMTPResponseException as error:
            raise self._refusal(error.smtp_code, error.smtp_error) from None
        except ssl.SSLCertVerificationError as error:
            hint = "The server's certificate must name this host and be signed by an authority that this machine trusts"
            raise self._error(f"certificate not accepted: {error.verify_message}", hint) from None
        except OSError as error:  # also every other SMTPException
            raise self._error(str(error) or type(error).__name__, "Check host, port and security of the channel") from None

    def _connect(self) -> smtplib.SMTP:
        domain = _domain(self.sender)
        # Left to itself smtplib asks the DNS for our name, without a timeout.
        greeting = domain if domain.isascii() and "." in domain else "[127.0.0.1]"
        context = ssl.create_default_context()
        server: smtplib.SMTP
        if self.security == "tls":
            server = smtplib.SMTP_SSL(self.host, self.port, local_hostname=greeting, timeout=self.timeout_s, context=context)
        else:
            server = smtplib.SMTP(self.host, self.port, local_hostname=greeting, timeout=self.timeout_s)
        try:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.username:
                self._login(server)
        except BaseException:
            server.close()
            raise
        return server

    def _login(self, server: smtplib.SMTP) -> None:
        password = reveal(self.password)
        if (self.username + password).isascii():
            server.login(self.username, password)
            return
        # smtplib cannot say å; AUTH PLAIN is UTF-8 (RFC 4616).
        server.ehlo_or_helo_if_needed()
        code, answer = server.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{self.username}\0{password}".encode()).decode())
        if code != 235:
            raise smtplib.SMTPAuthenticationError(code, answer)

    def _refusal(self, code: int, answer: bytes | str) -> DeliveryError:
        text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
        return self._error(f"the server answered {code} {text}", permanent=500 <= code < 600)

    def _error(self, problem: str, hint: str = "", permanent: bool = False) -> DeliveryError:
        password = reveal(self.password)
        said = redacted(problem, password, f"\0{self.username}\0{password}" if password else "")
        return DeliveryError(f"mail to {self.recipient} over {self.host}:{self.port}: {said}", hint, permanent=permanent)


def compose(page: Page, sender: str, recipient: str, picture: Picture | None = None) -> EmailMessage:
    """The page as a message; its Message-ID and Date come from the page, so that a repeat is the same message."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = page.subject
    message["Date"] = email.utils.formatdate(page.at_ns // 10**9)
    message["Message-ID"] = f"<{page.key}@{_domain(sender)}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(page.text)
    if picture is not None:
        message.add_alternative(_html(page, picture), subtype="html")
        page_as_html = message.get_payload(1)
        assert isinstance(page_as_html, EmailMessage)
        page_as_html.add_related(picture.png, "image", "png", cid="<trend>", disposition="inline", filename="trend.png")
    return message


def _html(page: Page, picture: Picture) -> str:
    """The page for a screen of any width, in the colours of the reader's mail program: its picture first, then its lines."""
    language = escape(str(page.facts.get("language", "en")))
    style = "width:100%;max-width:600px;height:auto"
    image = f'<p><img src="cid:trend" width="600" height="300" style="{style}" alt="{escape(picture.words)}"></p>\n'
    lines = "".join(map(_line, page.text.splitlines()))
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(page.subject)}</title></head>\n"
        '<body style="font-family:sans-serif;font-size:16px;line-height:1.4;overflow-wrap:anywhere">\n'
        f"{image}{lines}</body></html>\n"
    )


def _line(line: str) -> str:
    """A line with its key in bold; the address of the console is a link, wide enough for a finger."""
    key, colon, rest = line.partition(": ")
    if not colon or line.startswith(" "):
        return f'<p style="margin:0 0 0 {"1em" if line.startswith(" ") else "0"}">{escape(line) or "&nbsp;"}</p>\n'
    said = escape(rest)
    if rest.startswith(("https://", "http://")):
        said = f'<a href="{said}" style="display:inline-block;padding:10px 0">{said}</a>'
    return f'<p style="margin:0 0 6px"><b>{escape(key)}:</b> {said}</p>\n'


def _domain(address: str) -> str:
    return email.utils.parseaddr(address)[1].rpartition("@")[2] or "renrum.invalid"
