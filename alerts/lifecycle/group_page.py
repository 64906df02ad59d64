"""The page of a group: what failed, how many alarms in which rooms, which was the first-out and how bad, each in a line, then the worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from alerts.lifecycle.groups import CHATTER, DONE, FLOOD, Group
from alerts.lifecycle.lifecycle import Alarm
from alerts.pages.page import FIRST, RAISED, RETURNED, Before, Brief, Letterhead, Page
from alerts.pages.sms import subject
from alerts.pages.wording import ENGLISH, clean, words_of
from alerts.record.store import StateStore
from rules.excursion import CURRENT, Excursion
from rules.rule import PRIORITIES

LISTED = 40
"""So many alarms are named one by one; a page must be read on a phone."""
WORDS = {
    "en": {
        "alarm": "1 alarm", "alarms": "{} alarms", "room": "in 1 room", "rooms": "in {} rooms", "first": "first", "chatters": "chatters,",
        "calmed": "chattered,", "beyond": "no longer chatters, still beyond its limit,", "lasts": "no longer chatters, still",
        "flood": "alarm flood, summary", "listed": "Alarms", "more": "and {} more: see the alarm list", "worst": "The worst of them",
        "where": "Rooms", "first_out": "First out", "over": "over", "not_acknowledged": "not acknowledged", "acknowledged": "acknowledged",
        "group": "Group", "acknowledge": "the link opens its alarms; acknowledging group {} there acknowledges them all at once",
    },
    "sv": {
        "alarm": "1 larm", "alarms": "{} larm", "room": "i 1 rum", "rooms": "i {} rum", "first": "först", "chatters": "fladdrar,",
        "calmed": "fladdrade,", "beyond": "fladdrar inte längre, men är utanför gränsen,", "lasts": "fladdrar inte längre men kvarstår,",
        "flood": "larmskur, sammanfattning", "listed": "Larm", "more": "och {} till: se larmlistan", "worst": "Det värsta av dem",
        "where": "Rum", "first_out": "Först ut", "over": "upphört", "not_acknowledged": "ej kvitterat", "acknowledged": "kvitterat",
        "group": "Grupp", "acknowledge": "länken öppnar dess larm; att kvittera grupp {} där kvitterar alla på en gång",
    },
}  # fmt: skip
Briefly = Callable[[Excursion, int, str], tuple[Brief, Letterhead]]
"""What is said of an excursion in a few words at a moment (int ns UTC) in a language, and what stands on every page then."""


def lead(alarms: Sequence[Alarm]) -> Alarm:
    """Whose page it is: the highest priority that waits, of several one that lasts, then the first."""
    return min(alarms, key=lambda alarm: (alarm.state in DONE, not alarm.annunciated, PRIORITIES.index(alarm.priority), not alarm.active))


def told_as(group: Group, alarms: Sequence[Alarm]) -> str:
    """What a page of a group is of: the group, and where it is one alarm of a system that alarm."""
    return alarms[0].id if len(alarms) == 1 and group.kind != CHATTER else group.id


def headed(page: Page, group: Group, alarms: Sequence[Alarm], store: StateStore, briefly: Briefly, at: int, before: Before = FIRST) -> Page:
    """The page of a group out of that of its lead, which is of `told_as`; of one alarm of a system that is the alarm's own."""
    if told_as(group, alarms) != group.id:
        return replace(page, id=f"{group.id}-{page.kind}")
    language = str(page.facts.get("language", ENGLISH))
    words, spoken = WORDS.get(language, WORDS[ENGLISH]), words_of(language)
    top, by_id = lead(alarms), {alarm.id: alarm for alarm in alarms}
    where = [row for row in _where(store, group.id) if row[0] in by_id]
    rooms: dict[str, str] = {}
    for alarm, room, _ in where:
        rooms.setdefault(room, alarm)
    rooms.pop("", None)
    shown = dict.fromkeys([*(alarm for alarm, _, _ in where[:LISTED]), *list(rooms.values())[:LISTED], top.id])
    found = {id: briefly(store.excursions("id = ?", (by_id[id].excursion,))[-1], at, language) for id in shown}
    briefs, letterhead = {id: one for id, (one, _) in found.items()}, found[top.id][1]
    first, _, onset = where[0]
    ended = sum(not alarm.active for alarm in alarms)
    is_over = page.kind == RETURNED or ended == len(alarms)
    some_over = f", {ended} {words['over']}" if ended and not is_over else ""
    counted = _counted(words, "alarm", len(alarms))
    if group.kind == CHATTER:
        one = briefs[top.id]
        state = words["chatters" if group.until > at else "calmed" if is_over else "beyond" if one.beyond else "lasts"]
        name, tail, count = f"{one.names} {state} {one.told}", "", counted + some_over
        names = tuple(f"{of} {state} {one.told}{more}" for of in (one.names, one.ids) for more in (f", {count}", some_over))
    else:
        one = briefs[first]
        name = words["flood"] if group.kind == FLOOD else clean(group.name)
        tail = one.told + ("" if is_over or by_id[first].active else f", {words['over']}")
        count = f"{counted} {_counted(words, 'room', len(rooms))}{some_over}"
        counts = (count, counted + some_over)
        names = tuple(f"{name}, {many}, {words['first']} {of}" for of in (one.names, one.ids) for many in counts)
    waits = any(alarm.state not in DONE for alarm in alarms)
    status = spoken["over_waits" if waits else "returned"] if is_over else ""
    head = f"{letterhead.environment} {before.head(spoken)}{f'{status}, ' if status else ''}{spoken[top.level]} {spoken[top.priority]}"
    lines = [
        (name, count),
        (spoken["line_status"], status),
        (spoken["line_told"], before.told(letterhead.site, spoken)),
        (words["where"], _some([f"{briefs[rooms[room]].room} ({room})" for room in list(rooms)[:LISTED]], len(rooms))),
        (words["first_out"], f"{briefs[first].names} {briefs[first].told} ({first}), {letterhead.when(onset)}"),
        (words["group"], f"{group.id}, {words['acknowledge'].format(group.id)}"),
        (spoken["line_link"], letterhead.link(group.id)),
    ]
    listed = [_line(by_id[id], briefs[id], words, spoken) for id, _, _ in where[:LISTED]]
    if len(where) > LISTED:
        listed.append(words["more"].format(len(where) - LISTED))
    text = "".join(f"{key}: {line}\n" for key, line in lines if line)
    text += "\n  ".join([f"{words['listed']}:", *listed]) + f"\n\n{words['worst']} ({top.id}):\n{page.text}"
    facts = page.facts | {
        "group": group.id,
        "group_kind": group.kind,
        "system": group.about if group.kind not in (CHATTER, FLOOD) else None,
        "alarms": len(alarms),
        "rooms": _some(list(rooms)[:LISTED], len(rooms)),
        "first_out": first,
        "lead": top.id,
        "chattering": group.kind == CHATTER and group.until > at,
    }
    id = f"{group.id}-{page.kind if page.kind == RETURNED else RAISED}"
    return replace(page, id=id, alarm=group.id, subject=subject(head, names, tail), text=text, facts=facts)


def _line(alarm: Alarm, brief: Brief, words: dict[str, str], spoken: dict[str, str]) -> str:
    """One alarm of several: where, what, how bad, its priority, and what became of it."""
    done = words["acknowledged"] if alarm.state in DONE else "" if alarm.active else words["not_acknowledged"]
    said = (f"{brief.names} {brief.told}", spoken[alarm.priority], "" if alarm.active else words["over"], done)
    return f"{', '.join(filter(None, said))} ({alarm.id})"


def _counted(words: dict[str, str], what: str, number: int) -> str:
    return words[what] if number == 1 else words[f"{what}s"].format(number)


def _where(store: StateStore, group: str) -> list[tuple[str, str, int]]:
    """Its alarms with room and first onset, the first-out first."""
    query = (
        "select a.id, e.room, min(e.onset, coalesce((select min(o.onset) from members m join excursions o on o.id = m.excursion"
        " and o.status = ? where m.alarm = a.id), e.onset)) from alarms a join excursions e on e.id = a.excursion"
        ' where a."group" = ? and (e.status = ? or not exists (select 1 from excursions n where n.id = e.id and n.status = ?))'
        " group by a.id order by a.raised_at, e.onset, length(a.id), a.id"
    )
    return store.rows(query, (CURRENT, group, CURRENT, CURRENT))


def _some(names: Sequence[str], number: int) -> str:
    return ", ".join(names) + (f", … ({number})" if number > len(names) else "")
