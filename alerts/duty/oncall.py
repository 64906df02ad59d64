"""oncall.yaml read into the channels that pages go to, and the people behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FileSystemPath

from alerts.channels import Channel, Email, Local, Webhook
from alerts.duty.oncall_sections import (
    CHANNELS,
    SIGNALS,
    AlertmanagerSection,
    AppriseSection,
    BeaconSection,
    DeadmanSection,
    EmailSection,
    LocalSection,
    OncallOutline,
    PersonSection,
    WebhookSection,
)  # fmt: skip
from alerts.duty.people import PeopleReading
from alerts.duty.reading import Known, RosterReading
from alerts.duty.replies import Mailbox
from alerts.duty.roster import Roster
from alerts.duty.sections import RepliesSection
from alerts.signals import Alertmanager, Beacon, Deadman, Signal
from facility.document import Block, Document, Path, did_you_mean, one_of, read_document, shown
from facility.files import FilePath, Files, Unreadable, beside
from facility.problems import ConfigurationError, Problem
from facility.secret import Secret, exposed, read_secret
from facility.sections import ID_ALLOWED, Section, is_id, validated

REPLIES = "replies"
DEADMAN = "dead man's switch"
PORTS = {"none": 25, "starttls": 587, "tls": 465}


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is told: `channels` maps each target to what sends to it, `roster` says who is chosen for what.

    A target is the channel's id, followed by `/` and the recipient where the channel has several, or where the recipient is a person's.
    `personal` are targets that only people have: they are none of the channels that everyone is told by. `signals` get no pages, but are
    shown what stands. Replies to mails arrive in `mailbox`; `pins` has the hash of each person's PIN.
    """

    channels: Mapping[str, Channel] = field(default_factory=dict)
    roster: Roster = field(default_factory=Roster)
    personal: frozenset[str] = frozenset()
    signals: Mapping[str, Signal] = field(default_factory=dict)
    mailbox: Mailbox | None = None
    pins: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def everyone(self) -> tuple[str, ...]:
        """The targets that each page goes to where nobody is chosen."""
        return tuple(target for target in self.channels if target not in self.personal)


def load_oncall(path: FilePath, environment: Mapping[str, str] | None = None) -> OnCall:
    """Read an on-call file; raises ConfigurationError with every problem. `environment` may hold secrets as RENRUM_CHANNEL_<ID>_…."""
    files, name = Files.around(path)
    try:
        oncall, problems, _ = read_oncall(files, name, environment or {})
    except Unreadable as error:
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "an on-call file")]) from None
    if problems:
        raise ConfigurationError(problems)
    return oncall


def read_oncall(
    files: Files, name: str, environment: Mapping[str, str], zone: str = "UTC", known: Known | None = None
) -> tuple[OnCall, list[Problem], list[Problem]]:
    """Channels and roster of a file, every problem, and warnings; raises Unreadable.

    `zone` is the site's time zone, `known` what routes may name.
    """
    document, problems = read_document(files, name)
    if problems and not document.value:
        return OnCall(), problems, []
    outline, faults = _outline(document)
    reading = _Reading(files, name, document, environment)
    reading.problems += problems + faults
    if outline is None:
        return OnCall(), reading.problems, []
    for id_, block in reading.blocks(outline.channels):
        reading.channel(id_, block)
    reading.deadman(outline.deadman)
    mailbox, pins = reading.mailbox(outline.replies), reading.pins(outline.people)
    everyone = tuple(reading.channels)
    roster, faults = _roster(files, name, document, outline, reading.ids, everyone, zone, known)
    reading.problems += faults
    for target in roster.targets:
        reading.personal(target)
    reading.unused(outline.people)
    if not set(reading.ids.values()) - set(SIGNALS) and not reading.problems:
        allowed = f"channels of kind {one_of(tuple(CHANNELS))}"
        reading.warnings.append(document.problem(("channels",), "no channel, so nobody is told", allowed))
    personal = frozenset(reading.channels) - set(everyone)
    return OnCall(reading.channels, roster, personal, reading.signals, mailbox, pins), reading.problems, reading.warnings


def read_roster(files: Files, name: str, everyone: Iterable[str], zone: str) -> Roster:
    """The roster of a file alone, without any secret; `everyone` are the targets of its channels. Raises Unreadable."""
    document, _ = read_document(files, name)
    outline, _ = _outline(document)
    if outline is None:
        return Roster(tuple(everyone))
    blocks = _Reading(files, name, document, {})
    blocks.blocks(outline.channels)
    return _roster(files, name, document, outline, blocks.ids, everyone, zone, None)[0]


def _outline(document: Document) -> tuple[OncallOutline | None, list[Problem]]:
    return validated(OncallOutline, document, stand_ins={"channels": Block(("channels",))})


def _roster(
    files: Files, name: str, document: Document, outline: OncallOutline, kinds: Mapping[str, str], everyone: Iterable[str], zone: str,
    known: Known | None,
) -> tuple[Roster, list[Problem]]:  # fmt: skip
    everyone = tuple(everyone)
    kinds = {id_: kind for id_, kind in kinds.items() if kind not in SIGNALS}
    humans = PeopleReading(document, kinds, everyone)
    people = humans.people(outline.people)
    names = {*kinds, *kinds.values(), *humans.own_kinds}
    reading = RosterReading(files, name, document, people, sorted(names), everyone, zone, known, kinds)
    roster = reading.roster(outline)
    return roster, humans.problems + reading.problems


class _Reading:
    """Builds channels from their sections and collects what is wrong."""

    def __init__(self, files: Files, name: str, document: Document, environment: Mapping[str, str]) -> None:
        self.files, self.name, self.document, self.environment = files, name, document, environment
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.channels: dict[str, Channel] = {}
        self.signals: dict[str, Signal] = {}
        self.ids: dict[str, str] = {}
        self.mail: dict[str, Email] = {}

    def _refuse(self, section: Section, key: str, found: str, allowed: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(section.at(key), found, allowed, hint))

    def blocks(self, channels: object) -> list[tuple[str, Block]]:
        """Each channel's id and mapping, from a mapping of ids or from a list whose entries have one."""
        found: list[tuple[str, Block]] = []
        entries: list[tuple[object, object, Path]]
        if isinstance(channels, Block):
            entries = [(id_, block, (*channels.path, id_)) for id_, block in channels.items()]
        elif isinstance(channels, list):
            entries = [
                (block.pop("id", None) if isinstance(block, Block) else None, block, ("channels", number))
                for number, block in enumerate(channels)
            ]
        else:
            allowed = "a mapping of ids to channels, or a list of channels"
            self.problems.append(self.document.problem(("channels",), shown(channels), allowed))
            return []
        for id_, block, path in entries:
            if not isinstance(block, Block):
                self.problems.append(self.document.problem(path, shown(block), "a mapping with a `kind`"))
            elif not isinstance(id_, str) or not is_id(id_):
                self.problems.append(self.document.problem((*path, "id"), shown(id_), f"an id: {ID_ALLOWED}"))
            elif id_ in self.ids:
                self.problems.append(self.document.problem((*path, "id"), f"{id_!r} again", "each channel id once"))
            else:
                self.ids[id_] = str(block.get("kind"))
                found.append((id_, block))
        return found

    def channel(self, id_: str, block: Block) -> None:
        kind = block.get("kind")
        model = CHANNELS.get(kind) if isinstance(kind, str) else None
        if model is None:
            found = "no key 'kind'" if kind is None else shown(kind)
            kinds = tuple(CHANNELS)
            hint = did_you_mean(kind, kinds) if kind else ""
            self.problems.append(self.document.problem((*block.path, "kind"), found, one_of(kinds), hint))
            return
        section, faults = validated(model, self.document, block)
        self.problems += faults
        if isinstance(section, EmailSection):
            self._email(id_, section)
        elif isinstance(section, WebhookSection):
            self._webhook(id_, section)
        elif isinstance(section, AppriseSection):
            self._apprise(id_, section)
        elif isinstance(section, AlertmanagerSection):
            url, token = self._url(id_, section), self._secret(id_, section, "token")
            if url is not None:
                self.signals[id_] = Alertmanager(url, token)
        elif isinstance(section, BeaconSection):
            payloads = tuple(section.payloads.model_dump().items())
            self.signals[id_] = Beacon(section.topic, payloads, tuple(section.priority), tuple(section.room))
        elif isinstance(section, LocalSection) and self.files.folder is not None:
            self.channels[id_] = Local(self.files.folder / beside(self.name, section.file))

    def _email(self, id_: str, section: EmailSection) -> None:
        password = self._secret(id_, section, "password")
        if section.username and password is None and section.password_file is None:
            self._refuse(section, "username", "a username without a password", f"password_file, or {_variable(id_, 'password')}")
        if password is not None and not section.username:
            self._refuse(section, "password_file", "a password without a username", "both or neither")
        port = section.port or PORTS[section.security]
        self.mail[id_] = Email(section.host, port, section.sender, "", section.security, section.username or "", password)
        recipients = section.to or ()
        for recipient in recipients:
            self.channels[id_ if len(recipients) == 1 else f"{id_}/{recipient}"] = replace(self.mail[id_], recipient=recipient)

    def deadman(self, section: DeadmanSection | None) -> None:
        """The dead man's switch, shown under a name that no channel has."""
        if section is not None and (url := self._url("", section)) is not None:
            self.signals[DEADMAN] = Deadman(url, section.every)

    def _webhook(self, id_: str, section: WebhookSection) -> None:
        url, token = self._url(id_, section), self._secret(id_, section, "token")
        if url is not None:
            self.channels[id_] = Webhook(url, token)

    def _url(self, id_: str, section: WebhookSection | AlertmanagerSection | DeadmanSection) -> Secret | None:
        """The address of a section, which may be a secret."""
        if section.url is not None and section.url_file is not None:
            self._refuse(section, "url_file", "url and url_file", "one of them")
        url = self._secret(id_, section, "url") or (None if section.url is None else Secret(section.url))
        if url is None and section.url_file is None and section.at("url") not in self.document.positions:
            self._refuse(section, "url", "no address", f"url, url_file, or {_variable(id_, 'url')}")
        return url

    def _apprise(self, id_: str, section: AppriseSection) -> None:
        addresses = self._secret(id_, section, "url")
        if addresses is None:
            if section.url_file is None:
                self._refuse(section, "url_file", "no address", f"url_file, or {_variable(id_, 'url')}")
            return
        from alerts.channels.apprise import Apprise  # loads 174 services: only where it is used

        lines = [line.strip() for line in addresses.reveal().splitlines() if line.strip() and not line.startswith("#")]
        for number, line in enumerate(lines, 1):
            channel = Apprise(Secret(line))
            if not channel.understood():
                allowed = "an address that Apprise understands: https://appriseit.com lists the forms"
                self._refuse(section, "url_file", f"an address in line {number} of it that means nothing to Apprise", allowed)
            self.channels[id_ if len(lines) == 1 else f"{id_}/{number}"] = channel

    def _secret(self, id_: str, section: Section, what: str) -> Secret | None:
        """A secret from the environment, else from the file that the section names."""
        variable = _variable(id_, what)
        if text := self.environment.get(variable):
            return Secret(text)
        key = f"{what}_file"
        reference: str | None = getattr(section, key)
        if reference is None:
            return None
        path = (self.files.folder or FileSystemPath()) / beside(self.name, reference)
        try:
            secret = read_secret(path)
        except Unreadable as error:
            self._refuse(section, key, str(error), f"a file with the {what}, or {variable} in the environment")
            return None
        if exposed(path):
            found, hint = f"{path}, which every user may read", "Take that right away: chmod o= FILE."
            self.warnings.append(self.document.problem(section.at(key), found, "a file of the service alone", hint))
        return secret

    def mailbox(self, section: RepliesSection | None) -> Mailbox | None:
        """Where replies arrive."""
        if section is None:
            return None
        password = self._secret(REPLIES, section, "password")
        if password is None:
            if section.password_file is None:
                self._refuse(section, "password_file", "no password", f"password_file, or {_variable(REPLIES, 'password')}")
            return None
        port = section.port or (993 if section.security == "tls" else 143)
        return Mailbox(section.host, port, section.username, password, section.security, section.folder, section.every)

    def pins(self, people: Iterable[PersonSection]) -> dict[str, Secret]:
        """The hash of each person's PIN."""
        found = {}
        for person in people:
            if person.pin_file is None or (pin := self._secret(person.id, person, "pin")) is None:
                continue
            if not pin.reveal().startswith("$argon2id$"):
                self._refuse(person, "pin_file", "a file without the hash of a PIN", "one that `renrum oncall pin FILE` wrote")
            found[person.id] = pin
        return found

    def personal(self, target: str) -> None:
        """A channel for an address that only people have."""
        id_, _, address = target.partition("/")
        if target not in self.channels and id_ in self.mail:
            self.channels[target] = replace(self.mail[id_], recipient=address)

    def unused(self, people: Iterable[PersonSection]) -> None:
        """Mail channels that send to nobody."""
        asked = {way.get("channel") for person in people for way in person.reach if "email" in way}
        for id_ in self.mail:
            if not asked & {id_, None} and not any(target.partition("/")[0] == id_ for target in self.channels):
                hint = "Give `to`, or let people have {email: address}."
                self.problems.append(self.document.problem(("channels", id_), "no recipient", "addresses in `to`, or of people", hint))


def _variable(id_: str, what: str) -> str:
    """The environment variable that may hold a channel's secret."""
    if what == "pin":
        return f"RENRUM_PIN_{re.sub('[^A-Z0-9]', '_', id_.upper())}"
    if id_ in ("", REPLIES):
        return f"RENRUM_{(id_ or 'deadman').upper()}_{what.upper()}"
    return f"RENRUM_CHANNEL_{re.sub('[^A-Z0-9]', '_', id_.upper())}_{what.upper()}"
