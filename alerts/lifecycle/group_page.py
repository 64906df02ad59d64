"""The page of a group: that of its worst alarm, headed by what failed, its rooms, and which was the first-out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alerts.lifecycle.groups import CHATTER, DONE, FLOOD, Group
from alerts.lifecycle.lifecycle import Alarm
from alerts.pages.page import RAISED, RETURNED, Page
from alerts.pages.wording import GSM_ALPHABET, clean, words_of
from alerts.record.store import StateStore
from facility.times import format_time
from rules.excursion import CURRENT
from rules.rule import PRIORITIES

SMS = 160
LISTED = 40
"""So many alarms are named one by one; a page must be read on a phone."""
WORDS = {
    "en": {
        "alarms": "{alarms} alarms in {rooms} rooms", "first": "first", "chatters": "chatters", "calmed": "chattered, calm now",
        "flood": "alarm flood, summary", "listed": "Alarms", "more": "and {more} more: see the alarm list", "worst": "The worst of them",
        "of_it": "alarms", "rooms": "Rooms", "first_out": "First out",
        "group": "Group", "acknowledge": "Acknowledging group {group} acknowledges them all.",
    },
    "sv": {
        "alarms": "{alarms} larm i {rooms} rum", "first": "först", "chatters": "fladdrar", "calmed": "fladdrade, lugnt nu",
        "flood": "larmskur, sammanfattning", "listed": "Larm", "more": "och {more} till: se larmlistan", "worst": "Det värsta av dem",
        "of_it": "larm", "rooms": "Rum", "first_out": "Först ut",
        "group": "Grupp", "acknowledge": "Att kvittera grupp {group} kvitterar alla.",
    },
}  # fmt: skip


def lead(alarms: Sequence[Alarm]) -> Alarm:
    """Whose page it is: the highest priority that waits, the first of several."""
    return min(alarms, key=lambda alarm: (alarm.state in DONE, not alarm.annunciated, PRIORITIES.index(alarm.priority)))


def headed(page: Page, group: Group, alarms: Sequence[Alarm], store: StateStore, at: int, language: str = "en") -> Page:
    """The page of a group out of that of its lead; of one alarm of a system that is the alarm's own."""
    if len(alarms) == 1 and group.kind != CHATTER:
        return replace(page, id=f"{group.id}-{page.kind}")
    words = WORDS.get(language, WORDS["en"])
    where = _where(store, group.id)
    shown = {alarm.id for alarm in alarms}
    where = [row for row in where if row[0] in shown]
    rooms = list(dict.fromkeys(room for _, room, _, _ in where if room))
    first, (_, room, point, onset) = where[0][0], where[0]
    count = words["alarms"].format(alarms=len(alarms), rooms=len(rooms))
    name = clean(group.name)
    if group.kind == CHATTER:
        name = f"{room} {point} ({name.partition(' ')[0]}) {words['chatters' if group.until > at else 'calmed']}"
        count = count if len(rooms) > 1 else f"{len(alarms)} {words['of_it']}"
    elif group.kind == FLOOD:
        name = words["flood"]
    top = lead(alarms)
    environment = page.facts.get("environment", "")
    spoken = words_of(language)
    state = spoken["returned"] if page.kind == RETURNED else f"{spoken[top.level]} {spoken[top.priority]}"
    subject = f"{environment} {state}: {name}, {count}, {words['first']} {room} {point}"
    priority = {alarm.id: alarm.priority for alarm in alarms}
    listed = [f"  {room or '-'}, {point}, {spoken[priority[id]]} ({id})" for id, room, point, _ in where[:LISTED]]
    if len(where) > LISTED:
        listed.append("  " + words["more"].format(more=len(where) - LISTED))
    lines = [
        f"{name}: {count}",
        f"{words['rooms']}: {_some(rooms)}",
        f"{words['first_out']}: {room}, {point} ({first}), {format_time(onset)}",
        f"{words['group']}: {group.id}. {words['acknowledge'].format(group=group.id)}",
        f"{words['listed']}:",
        *listed,
    ]
    facts = page.facts | {
        "group": group.id,
        "group_kind": group.kind,
        "system": group.about if group.kind not in (CHATTER, FLOOD) else None,
        "alarms": len(alarms),
        "rooms": _some(rooms),
        "first_out": first,
        "lead": top.id,
        "chattering": group.kind == CHATTER and group.until > at,
    }
    text = "\n".join(lines) + f"\n\n{words['worst']}:\n{page.text}"
    return replace(
        page,
        id=f"{group.id}-{page.kind if page.kind == RETURNED else RAISED}",
        alarm=group.id,
        subject=_sms(subject),
        text=text,
        facts=facts,
    )


def _where(store: StateStore, group: str) -> list[tuple[str, str, str, int]]:
    """Its alarms with room, point and onset, the first-out first."""
    query = (
        "select a.id, e.room, a.point, e.onset from alarms a join excursions e on e.id = a.excursion"
        ' where a."group" = ? and (e.status = ? or not exists (select 1 from excursions n where n.id = e.id and n.status = ?))'
        " group by a.id order by a.raised_at, e.onset, length(a.id), a.id"
    )
    return store.rows(query, (group, CURRENT, CURRENT))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f", … ({len(names)})" if len(names) > LISTED else "")


def _sms(subject: str) -> str:
    """At most one SMS: letters that none has need twice the room, so the limit is then 70."""
    room = SMS if set(subject) <= GSM_ALPHABET else 70
    return subject if len(subject) <= room else f"{subject[: room - 3]}..."
