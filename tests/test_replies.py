"""Acknowledging by a reply to the mail of a page, over a real IMAP server: what is acted on, what is refused, and what is answered."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner

from alerts.alarms import Answer
from alerts.channels.email import compose
from alerts.duty.oncall import load_oncall
from alerts.duty.replies import Mailbox, read_reply
from alerts.pages.page import Page, decode
from alerts.people.passwords import Passwords
from facility.problems import ConfigurationError
from facility.secret import Secret
from ingest.journal.entries import ActionBody, Body
from service.cli import main
from service.pages.replying import WRONG_MAX, Replying
from tests.support.dovecot import Dovecot, needs_dovecot
from tests.support.night import Night
from tests.support.smtp import certificate

SECRET = "imap-s3cret"
PIN = "271828"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PEOPLE = """
channels:
  mail: {kind: email, host: 127.0.0.1, security: none, from: em@site.test}
people:
  - {id: anna, name: Anna Berg, language: sv, pin_file: anna-pin, reach: [{email: Anna@site.test}]}
  - {id: bo, name: Bo Lind, pin_file: bo-pin, reach: [{email: bo@site.test}]}
  - {id: qa, reach: [{email: qa@site.test}]}
replies: {host: 127.0.0.1, security: none, username: em, password_file: imap}
policies:
  night: {steps: [{to: [anna, bo]}]}
routes: [{policy: night}]
"""
ANNA, BO, QA = "anna@site.test", "bo@site.test", "qa@site.test"


class Story:
    """A night whose mails are answered."""

    def __init__(self, folder: Path) -> None:
        for name, text in (("anna-pin", QUICK.hash(PIN)), ("bo-pin", QUICK.hash("314159")), ("imap", SECRET)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self.night = Night(folder, "", "2026-01-06T03:00", people=PEOPLE)
        self.night.carried = []
        oncall = self.night.configuration.oncall
        self.mailbox = oncall.mailbox
        self.replying = Replying(
            lambda: (self.mailbox, oncall.roster.people, oncall.pins), self.night.store.reader, self.ask, self.night.clock
        )
        self.replying._passwords = Passwords(QUICK)
        self._count = 0

    def ask(self, kind: str, body: Body) -> Future[Answer | None]:
        assert isinstance(body, ActionBody)
        done: Future[Answer | None] = Future()
        done.set_result(self.night.act(body))
        return done

    def told(self) -> list[Page]:
        """The pages that there are, oldest first."""
        return [decode(row[0].encode()) for row in self.night.store.rows("select page from outbox order by id")]

    def reply(self, sender: str, text: str, page: Page | None = None, **headers: str) -> EmailMessage:
        """A reply to a page, the first unless another is given."""
        answered = compose(page or self.told()[0], "em@site.test", sender)
        self._count += 1
        mail = EmailMessage()
        mail["From"] = f"Somebody <{sender}>"
        mail["Subject"] = f"Re: {answered['Subject']}"
        mail["Message-ID"] = f"<{self._count}@phone.test>"
        mail["In-Reply-To"] = answered["Message-ID"]
        for name, value in headers.items():
            mail[name.replace("_", "-")] = value
        mail.set_content(text + "\n\n> " + answered.get_content().replace("\n", "\n> "))
        return mail

    def state(self) -> tuple[str, str]:
        """State of the first alarm, and who acknowledged it."""
        found: tuple[str, str] = self.night.store.rows("select state, acknowledged_by from alarms where id = 'A1'")[0]
        return found

    def audit(self) -> list[tuple[str, str, str]]:
        """Who did what why, of alarms and replies."""
        rows = self.night.store.rows(
            "select actor, action, reason from audit where action in ('acknowledge', 'reply refused') order by seq"
        )
        return [(actor, action, reason) for actor, action, reason in rows]

    def answers(self) -> list[tuple[str, str]]:
        """To whom replies were answered, and what."""
        rows = self.night.store.rows("select target, json_extract(page, '$.subject') from outbox where page_id like 'reply-%' order by id")
        return [(target, subject.partition("Laboratory: ")[2]) for target, subject in rows]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    found = Story(tmp_path)
    found.night.reading("cp1.dp", 5.0)
    assert [target for _, target, _ in found.night.carried] == ["mail/Anna@site.test", "mail/bo@site.test"]
    found.night.tick()
    yield found
    journal = b"".join(path.read_bytes() for path in found.night.data.iterdir() if path.is_file())
    assert PIN.encode() not in journal, "the PIN is kept nowhere"
    found.night.close()


def test_a_reply_with_the_pin_acknowledges(story: Story) -> None:
    story.replying.hear(story.reply("Anna@Site.test", f"{PIN} looking into it").as_bytes())
    assert story.state() == ("acknowledged", "Anna Berg")
    assert story.audit() == [("Anna Berg", "acknowledge", "by mail: looking into it")]
    assert story.answers() == [("mail/Anna@site.test", "A1 är kvitterat av Anna Berg")]


def test_who_was_slower_hears_who_was_faster(story: Story) -> None:
    story.replying.hear(story.reply(ANNA, PIN).as_bytes())
    story.replying.hear(story.reply(BO, "314159", story.told()[1]).as_bytes())
    assert story.state() == ("acknowledged", "Anna Berg")
    assert story.answers()[1] == ("mail/bo@site.test", "A1 is acknowledged by Anna Berg")


def test_a_wrong_pin_is_refused_answered_and_on_record(story: Story) -> None:
    story.replying.hear(story.reply(ANNA, "000000").as_bytes())
    assert story.state() == ("unacknowledged", "")
    assert story.audit() == [(ANNA, "reply refused", "the PIN is wrong")]
    ((target, subject),) = story.answers()
    assert target == "mail/Anna@site.test"
    assert subject.startswith("Ditt svar på A1 togs inte emot")


def test_the_pin_of_somebody_else_is_wrong(story: Story) -> None:
    story.replying.hear(story.reply(BO, PIN).as_bytes())
    assert story.state() == ("unacknowledged", "")


def test_a_stranger_is_refused_and_not_answered(story: Story) -> None:
    story.replying.hear(story.reply("eve@elsewhere.test", PIN).as_bytes())
    assert story.state() == ("unacknowledged", "")
    assert story.audit() == [("eve@elsewhere.test", "reply refused", "the sender is nobody who may reply")]
    assert story.answers() == []


def test_who_has_no_pin_cannot_reply(story: Story) -> None:
    story.replying.hear(story.reply(QA, PIN).as_bytes())
    assert [reason for _, _, reason in story.audit()] == ["no PIN is kept for this person"]


def test_a_mail_that_comes_again_is_refused_and_answered_once(story: Story) -> None:
    mail = story.reply(ANNA, "000000").as_bytes()
    for _ in range(3):
        story.replying.hear(mail)
        story.night.tick()
    assert [reason for _, _, reason in story.audit()] == ["the PIN is wrong", *["this mail was heard before"] * 2]
    assert len(story.answers()) == 1


def test_after_too_many_wrong_pins_the_right_one_is_refused_for_an_hour(story: Story) -> None:
    for _ in range(WRONG_MAX):
        story.replying.hear(story.reply(ANNA, "000000").as_bytes())
    story.replying.hear(story.reply(ANNA, PIN).as_bytes())
    assert story.state() == ("unacknowledged", "")
    assert story.audit()[-1][2].startswith("5 wrong PINs within an hour")
    story.night.tick(3601 * 10**9)
    story.replying.hear(story.reply(ANNA, PIN).as_bytes())
    assert story.state() == ("acknowledged", "Anna Berg")


def test_a_reply_to_an_old_page_does_not_acknowledge_what_has_risen_since(story: Story, tmp_path: Path) -> None:
    first = story.told()[0]
    story.replying.hear(story.reply(ANNA, PIN).as_bytes())
    story.night.reading("cp1.dp", 15.0)
    story.night.tick()
    story.night.reading("cp1.temp", 30.0)
    (newer,) = {page.alarm: page for page in story.told() if page.alarm not in ("", "A1")}.values()
    story.replying.hear(story.reply(ANNA, PIN, replace(newer, at_ns=1)).as_bytes())  # a page that we never sent
    assert story.audit()[-1][2] == "it answers no page of this service"
    story.replying.hear(story.reply(ANNA, PIN, first).as_bytes())
    assert story.answers()[-1][1] == "A1 är kvitterat av Anna Berg"


def test_a_page_before_the_rise_is_no_page_of_what_it_has_become(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.night.reading("cp1.dp", 11.0)
    story.night.tick()
    story.night.reading("cp1.dp", 5.0)
    story.replying.hear(story.reply(ANNA, PIN).as_bytes())
    assert story.state() == ("unacknowledged", "")
    assert story.audit()[-1][2].startswith("the alarm was told anew after that page")
    story.replying.hear(story.reply(ANNA, PIN, story.told()[2]).as_bytes())
    assert story.state() == ("acknowledged", "Anna Berg")
    story.night.close()


@pytest.mark.parametrize("header", [{"Auto_Submitted": "auto-replied"}, {"Precedence": "bulk"}])
def test_what_answers_by_itself_is_left_alone(story: Story, header: dict[str, str]) -> None:
    story.replying.hear(story.reply(ANNA, PIN, None, **header).as_bytes())
    assert story.audit() == []


@pytest.mark.parametrize(
    "broken",
    [
        b"Message-ID: <,a@b>\n",
        b"Message-ID: <a@\nb>\n",
        b"Message-ID: <a@[b>\n",
        b"From: x: a@b; c\n",
        b"Message-ID:< <a@b>\n",
        b"From: <\n",
    ],
)
def test_a_mail_that_is_made_to_break_the_reader_keeps_nobody_from_replying(story: Story, broken: bytes) -> None:
    with pytest.MonkeyPatch.context() as patched:
        mails = [broken + b"\n" + PIN.encode(), story.reply(ANNA, PIN).as_bytes()]
        server = SimpleNamespace(uid=lambda *_: None)
        patched.setattr("service.pages.replying._opened", lambda mailbox: nullcontext(server))
        patched.setattr("service.pages.replying._unseen", lambda server: enumerate(mails))
        assert story.mailbox is not None
        story.replying.look(story.mailbox)
    assert story.replying.failure == ""
    assert story.state() == ("acknowledged", "Anna Berg")


def test_a_test_of_who_is_on_call_is_acknowledged_by_a_reply_too(story: Story) -> None:
    test = story.night.drill("anna")
    page = next(page for page in story.told() if page.alarm == test)
    story.replying.hear(story.reply(ANNA, PIN, page).as_bytes())
    assert story.night.store.rows("select acknowledged_by from drills") == [("Anna Berg",)]


# Over IMAP


@needs_dovecot
def test_mails_are_fetched_once(story: Story) -> None:
    with Dovecot(SECRET) as server:
        assert story.mailbox is not None
        mailbox = story.mailbox = replace(story.mailbox, port=server.port)
        server.put(story.reply("eve@elsewhere.test", PIN))
        server.put(b"\xff\xfe this is no mail at all")
        server.put(story.reply(ANNA, PIN))
        assert story.replying.look(mailbox) == mailbox.every_ns
        assert story.state() == ("acknowledged", "Anna Berg")
        assert server.seen() == 3
        before = len(story.audit())
        story.replying.look(mailbox)
        assert len(story.audit()) == before
    assert story.replying.failure == ""


@needs_dovecot
def test_over_tls_the_certificate_is_checked(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert = certificate(tmp_path)[1]
    with Dovecot(SECRET, (cert, tmp_path / "key.pem")) as server:
        mailbox = Mailbox("localhost", server.port, "em", Secret(SECRET))
        story.replying.look(mailbox)
        assert "certificate verify failed" in story.replying.failure
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        server.put(story.reply(ANNA, PIN))
        story.replying.look(mailbox)
    assert story.replying.failure == ""
    assert story.state() == ("acknowledged", "Anna Berg")


@needs_dovecot
def test_a_password_that_is_refused_is_said_without_it(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    with Dovecot("another") as server, caplog.at_level(logging.ERROR):
        story.replying.look(Mailbox("127.0.0.1", server.port, "em", Secret(SECRET), "none"))
    assert "replies cannot be fetched from 127.0.0.1:" in story.replying.failure
    assert SECRET not in story.replying.failure + caplog.text
    story.night.clock.turn(301 * 10**9)
    assert story.replying.failing()


# Reading, configuring


def test_a_reply_is_read_as_phones_write_it() -> None:
    mail = EmailMessage()
    mail["From"] = "Anna Berg <ANNA@site.test>"
    mail["References"] = "<1@elsewhere> <A1-raised-0123456789abcdef@site.test>"
    mail.set_content("x", subtype="html")
    mail.set_payload("<html><body><div>271828 on my way</div><blockquote>…</blockquote></body></html>", "utf-8")
    found = read_reply(mail.as_bytes())
    assert found.sender == ANNA
    assert found.keys == ("A1-raised-0123456789abcdef",)
    assert found.pin.reveal() == PIN
    assert PIN not in repr(found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("password_file: imap", "folder: INBOX"), "no password"),
        (("password_file: imap", "password_file: nothing"), "no such file"),
        (("pin_file: anna-pin", "pin_file: imap"), "a file without the hash of a PIN"),
        (("security: none, username", "security: maybe, username"), "maybe"),
    ],
)
def test_what_is_wrong_with_replies_is_said(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    Story(tmp_path)
    (tmp_path / "oncall.yaml").write_text(PEOPLE.replace(*change))
    with pytest.raises(ConfigurationError, match=says):
        load_oncall(tmp_path / "oncall.yaml")


def test_a_pin_is_set_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "pin"
    done = CliRunner().invoke(main, ["oncall", "pin", str(file)], input=f"{PIN}\n{PIN}\n")
    assert done.exit_code == 0, done.output
    assert PIN not in done.output + file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert Passwords().check(Secret(PIN), file.read_text().strip())
    short = CliRunner().invoke(main, ["oncall", "pin", str(file)], input="123\n123\n")
    assert short.exit_code == 2
    assert json.dumps("6 letters")[1:-1] in short.output
