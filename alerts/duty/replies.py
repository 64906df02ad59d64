"""Replies to pages by mail: which page a mail answers, by whom, with which PIN. What came of each is on record."""

from __future__ import annotations

import email
import email.policy
import email.utils
import hashlib
import re
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote

from alerts.pages.page import Page, decode
from alerts.record.audit import AuditTrail
from alerts.record.store import StateStore
from facility.secret import Secret
from ingest.journal.entries import ActionBody
from ingest.journal.journal import Entry

REFUSED = "reply refused"
_KEY = re.compile(r"<([^<>@\s]+-[0-9a-f]{16})@[^<>\s]+>")
_FIRST_LINE = re.compile(r"\s*(\S+)[ \t]*([^\r\n]*)")
_TAGS = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where replies arrive: an IMAP server (security none, starttls or tls) and a folder on it, looked into every `every_ns`."""

    host: str
    port: int
    username: str
    password: Secret = field(repr=False)
    security: str = "tls"
    folder: str = "INBOX"
    every_ns: int = 30 * 10**9


@dataclass(frozen=True, slots=True)
class Reply:
    """A mail as far as it matters: `keys` are those of pages that it answers, `pin` is the first word of its text."""

    message: str
    sender: str
    keys: tuple[str, ...]
    pin: Secret = field(repr=False)
    comment: str = ""
    automatic: bool = False


def read_reply(raw: bytes) -> Reply:
    """What a mail says; of one that is no mail nothing."""
    mail = email.message_from_bytes(raw, _class=EmailMessage, policy=email.policy.default)
    message = next(iter(_said(mail, "Message-ID")), "").strip() or hashlib.sha256(raw).hexdigest()
    answered = " ".join(_said(mail, "In-Reply-To") + _said(mail, "References"))
    automatic = any(said.lower() != "no" for said in _said(mail, "Auto-Submitted"))
    automatic |= any(said.lower() in ("bulk", "list", "junk") for said in _said(mail, "Precedence"))
    senders = email.utils.getaddresses(_said(mail, "From"))
    sender = senders[0][1].casefold() if len(senders) == 1 else ""
    words = _FIRST_LINE.match(_text(mail))
    pin, comment = (words[1], words[2].strip()) if words else ("", "")
    return Reply(message, sender, tuple(dict.fromkeys(_KEY.findall(answered))), Secret(pin), comment[:500], automatic)


def _said(mail: EmailMessage, name: str) -> list[str]:
    """What a header says, each time it stands; nothing where it cannot be read."""
    try:
        return [str(said) for said in mail.get_all(name, [])]
    except Exception:  # the library raises one thing or another at a mail that is made to break it
        return []


def _text(mail: EmailMessage) -> str:
    try:
        body = mail.get_body(("plain", "html"))
        text = body.get_content() if body is not None else ""
    except Exception:  # as above
        return ""
    return _TAGS.sub("", text) if body is not None and body.get_content_subtype() == "html" else str(text)


def answered(store: StateStore, reply: Reply) -> Page | None:
    """The page that a mail answers, the newest if it answers several; None where we sent none such."""
    for key in reversed(reply.keys):
        for (text,) in store.rows("select distinct page from outbox where page_id = ?", (unquote(key.rpartition("-")[0]),)):
            page = decode(text.encode())
            if page.key == key and page.alarm:
                return page
    return None


def risen_since(store: StateStore, page: Page) -> bool:
    """Whether the alarm, or another of the group, was told anew after a page was written: who answers the page has not seen that."""
    rows = store.rows('select max(coalesce(risen_at, raised_at)) from alarms where id = ? or "group" = ?', (page.alarm,) * 2)
    return rows[0][0] is not None and int(rows[0][0]) > page.at_ns


def digest(reply: Reply) -> str:
    """What a mail is recognised by if it comes again."""
    return hashlib.sha256(reply.message.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply on record: `why` says why it was refused, empty for one that was acted on; `person` is empty for a stranger."""

    entry: int
    action: str
    alarm: str
    by: str
    person: str
    address: str
    why: str


def hear(store: StateStore, body: ActionBody, entry: Entry, audit: AuditTrail) -> bool:
    """Put a reply on record, within the step's transaction; True for one that was refused, with which nothing else is to be done."""
    refused = body.action == REFUSED
    values = (body.mail, entry.seq, body.action, body.target, body.by, body.person, body.address, body.comment if refused else "")
    store.execute("insert or ignore into replies values (?, ?, ?, ?, ?, ?, ?, ?, null)", values)
    if refused:
        audit.append(entry.at, body.by, REFUSED, body.target or "mail", "", "", body.comment, entry.seq)
    return refused


def known(store: StateStore, mail: str) -> bool:
    """Whether a mail of that digest was heard."""
    return bool(store.rows("select 1 from replies where mail = ?", (mail,)))


def wrong_pins(store: StateStore, person: str, since: int, why: str) -> int:
    """How many replies with a wrong PIN there were of a person since an entry's moment (int ns UTC)."""
    query = (
        "select count(*) from replies r join audit a on a.entry = r.entry and a.action = ? where r.person = ? and r.why = ? and a.at >= ?"
    )
    return int(store.rows(query, (REFUSED, person, why, since))[0][0])


def unanswered(store: StateStore) -> list[Heard]:
    """Replies whose sender has not been told what came of them."""
    query = "select entry, action, alarm, by, person, address, why from replies where told_at is null and person != '' order by entry"
    return [Heard(*row) for row in store.rows(query)]
