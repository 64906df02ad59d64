"""Who is on duty in the running service, and swaps that people make."""

from __future__ import annotations

from collections.abc import Callable

from alerts.alarms import Answer
from alerts.duty.roster import Roster, Subject
from alerts.duty.rotation import FOREVER, Override, who
from alerts.escalation.drills import DRILL, SWAP, Drill, drills
from alerts.lifecycle.group_page import lead
from alerts.lifecycle.groups import Groups
from alerts.lifecycle.lifecycle import ACKNOWLEDGE, Alarm
from alerts.lifecycle.standing import Standing
from alerts.record.store import StateStore, StateUnavailable
from dashboards.duty_api import DutyBoard, DutyView, SwapAsked, SwapView
from dashboards.monitor import MonitorUnavailable
from dashboards.telling import Telling
from ingest.journal.entries import ActionBody
from ingest.journal.journal import JournalUnavailable
from rules.excursion import Excursion
from service.clock import Clock
from service.duty.telling import telling_of
from service.stepping import StepsEnded
from service.stored.readers import Readers

TESTS_SHOWN = 5


class DutyDesk:
    """Implements `Desk`; `act` journals a swap and returns when the step that applied it is durable.

    `subject` is what routes ask of an alarm with its excursion, None where the configuration does not know its rule or point.
    """

    def __init__(
        self,
        store: Readers[StateStore],
        act: Callable[[ActionBody], Answer],
        roster: Callable[[], Roster],
        clock: Clock,
        subject: Callable[[Alarm, Excursion], Subject | None],
    ) -> None:
        self._store, self._act, self._roster, self._clock, self._subject = store, act, roster, clock, subject

    def board(self, at: int | None = None) -> DutyBoard:
        at = self._clock.now_ns() if at is None else at
        roster = self._roster()
        with self._store.borrowed() as store:
            rows = store.rows(
                "select rotation, person, start, until, instead_of, reason, by, at from overrides where until > ? order by entry", (at,)
            )
            tests = tuple(drills(store, "id in (select id from drills order by at desc, id desc limit ?)", TESTS_SHOWN))
        written = (
            SwapView(made.rotation, made.person, made.start, made.end, made.instead_of, made.reason, "", None)
            for made in roster.overrides
            if made.end > at
        )
        swaps = (*written, *(SwapView(*row) for row in rows))
        made = [Override(swap.rotation, swap.start, swap.end, swap.person, swap.instead_of, swap.reason) for swap in swaps]
        duties = []
        for rotation in roster.rotations.values():
            duty = who(rotation, at, made)
            until = None if duty.until == FOREVER else duty.until
            following = None if until is None else who(rotation, until, made).person
            duties.append(DutyView(rotation.id, duty.person, until, duty.instead_of, following))
        people = {person.id: person.name for person in roster.people.values()}
        return DutyBoard(at, tuple(duties), swaps, people, (*people, *roster.teams, *roster.rotations), tests)

    def telling(self, alarm_id: str) -> Telling | None:
        with self._store.borrowed() as store:
            standing = Standing(store)
            alarm = standing.find(alarm_id)
            if alarm is None:
                return None
            top = lead(Groups(store, standing).members(alarm.group) or [alarm]) if alarm.group else alarm
            return telling_of(store, alarm, self._roster(), self._subject(top, standing.excursion(top)))

    def swap(self, asked: SwapAsked) -> None:
        body = ActionBody(
            SWAP, asked.rotation, asked.by, asked.reason, until_ns=asked.end, from_ns=asked.start, person=asked.person,
            instead_of=asked.instead_of,
        )  # fmt: skip
        self._done(body)

    def test(self, names: tuple[str, ...], within_ns: int, by: str) -> str:
        return self._done(ActionBody(DRILL, ",".join(names), by, until_ns=self._clock.now_ns() + within_ns)).alarm

    def acknowledge_test(self, id: str, by: str, comment: str) -> Answer:
        return self._done(ActionBody(ACKNOWLEDGE, id, by, comment))

    def found(self, id: str) -> Drill | None:
        with self._store.borrowed() as store:
            return next(iter(drills(store, "id = ?", id)), None)

    def _done(self, body: ActionBody) -> Answer:
        try:
            return self._act(body)
        except TimeoutError as error:
            raise MonitorUnavailable("No step confirmed it in time; it may still be recorded. Look before you try again.") from error
        except StepsEnded as error:
            raise MonitorUnavailable("The service is stopping: try again when it runs.") from error
        except (JournalUnavailable, StateUnavailable) as error:
            raise MonitorUnavailable(f"It could not be recorded: {error}. Look at the disk that holds data_dir.") from error
