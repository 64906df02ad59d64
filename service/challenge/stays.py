"""Tests of `state`: rooms and zones that stay in a state for as long as they may, and longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from facility.site import OCCUPANCIES, SECOND_NS, Facility, Place, Point
from rules.rule import Rule
from service.challenge.compared import Findings, compared, told
from service.challenge.instance import Instance
from service.challenge.subject import FAIL, NOT_TESTED, PASS, Due, Outcome

PAUSE_NS = 60 * SECOND_NS
"""Between two tests at a place."""
LEAD_NS = 8 * SECOND_NS
"""So long before its time is over a state is said that is waited for: what the machine may take to hear of it."""
SETTLED_NS = 3 * SECOND_NS
"""By when that must be told: the clock of states is 2 s behind."""
BEFORE = "waiting/before", "a state whose time is nearly over: nothing is raised before that"
RAISED = "waiting/raised", "its time is over while nobody says anything: raised then, and ended by the next state"


@dataclass(frozen=True, slots=True)
class Said:
    """A state message, `at` ns after the begin (then UTC); a `late` one is sent when all others were judged."""

    at: int
    state: str
    late: bool = False


@dataclass(frozen=True)
class Stay:
    """A test: what is said of a place from `since` on; the last message ends it."""

    case: str
    title: str
    said: tuple[Said, ...]

    @property
    def since(self) -> int:
        return min(one.at for one in self.said)

    @property
    def until(self) -> int:
        return max(one.at for one in self.said)


def due_of(said: Sequence[Said], at_most: Mapping[str, int]) -> tuple[Due, ...]:
    """The excursions that must come of messages, of whichever comes late: the text of docs/rules.md, sharing nothing with the engine.

    What is said last goes on beyond them, and is not among them.
    """
    found: list[Due] = []
    begun: Said | None = None
    for one in sorted(said, key=lambda one: one.at):
        if begun is not None and one.state == begun.state:
            continue
        if begun is not None and begun.state in at_most and one.at > begun.at + at_most[begun.state]:
            found.append(Due(begun.at, begun.at + at_most[begun.state], one.at, one.at, None, None, 0))
        begun = one
    return tuple(found)


def stays_of(place: Place, tolerance_ns: int) -> Iterator[Stay]:
    """The tests of a place, one after the other from 0 on."""
    at_most, now = dict(place.at_most_ns), 0
    for state, most in at_most.items():
        other = _another(at_most, state)
        pause = min(PAUSE_NS, at_most.get(other, PAUSE_NS) // 4)
        near = min(tolerance_ns, most // 2)
        for case, title, after in (
            ("short", "said to be over the tolerance before its time is", (Said(most - near, other),)),
            ("exact", "over at the very end of its time", (Said(most, other),)),
            ("long", "over the tolerance after its time", (Said(most + near, other),)),
            ("again", "said again meanwhile: it goes on from where it began", (Said(most - near, state), Said(most + near, other))),
            ("broken", "twice nearly its time, another state between", (
                Said(most - near, other), Said(most - near + pause, state), Said(2 * most - 2 * near + pause, other))),
            ("late/taken-back", "by a late message over in time", (Said(most - near, other, late=True), Said(2 * most, other))),
        ):  # fmt: skip
            begin = now + pause
            said = (Said(now, other), Said(begin, state), *(Said(begin + one.at, one.state, one.late) for one in after))
            yield Stay(f"{state}/{case}", f"{state}: {title}", said)
            now = said[-1].at + pause
        begin = now + pause
        said = (Said(now, other), Said(begin, state, late=True), Said(begin + most + near, other))
        yield Stay(f"{state}/late/found", f"{state}: said late, when its time was over already", said)
        now = said[-1].at + pause
    free = next((state for state in OCCUPANCIES if state not in at_most), None)
    if free is not None:
        longest = 2 * max(at_most.values())
        yield Stay("free", f"{free}, which may last: for twice as long as any that may not", (Said(now, free), Said(now + longest, free)))


def _another(at_most: Mapping[str, int], state: str) -> str:
    """A state that may last, else the one that may for longest."""
    others = [one for one in OCCUPANCIES if one != state]
    return max(others, key=lambda one: at_most.get(one, 1 << 62))


def challenge_stays(
    instance: Instance,
    facility: Facility,
    chosen: Sequence[tuple[Rule, Sequence[Point]]],
    end: int,
    tolerance_ns: int,
    findings: Callable[[], Findings],
    say: Callable[[str], None],
) -> list[Outcome]:
    """Drive the rules by messages of times before `end`, for which no reading was sent yet."""
    places = places_of(facility, chosen)
    tests = {}
    for place in places:
        stays = list(stays_of(place, tolerance_ns))
        begin = (end - PAUSE_NS - max(stay.until for stay in stays)) // SECOND_NS * SECOND_NS
        tests[place.id] = [Stay(stay.case, stay.title, tuple(Said(begin + s.at, s.state, s.late) for s in stay.said)) for stay in stays]
    for late in (False, True) if places else ():
        say(f"states of {len(places)} places{', late' if late else ''}")
        for id_, stays in tests.items():
            for one in (one for stay in stays for one in stay.said if one.late is late):
                instance.state(one.at, one.state, [id_])
        instance.settle()
    found = findings() if places else Findings(())
    most = {place.id: dict(place.at_most_ns) for place in places}
    return [
        _outcome(rule, point, stay.case, stay.title, stay.said, due_of(stay.said, most[point.place]), found)
        for rule, points in chosen
        for point in points
        for stay in tests[point.place]
    ]


def room_for_waiting(places: Sequence[Place]) -> int:
    """How far back the states that are waited for begin, ns."""
    return max((_shortest(place)[1] for place in places), default=0)


def challenge_waiting(
    instance: Instance,
    facility: Facility,
    chosen: Sequence[tuple[Rule, Sequence[Point]]],
    findings: Callable[[], Findings],
    say: Callable[[str], None],
) -> list[Outcome]:
    """Wait until a state's time is over, at all places at once."""
    places, clock = places_of(facility, chosen), instance.clock
    if not places:
        return []
    say(f"states of {len(places)} places whose time is over")
    due_at = clock.now_ns() // SECOND_NS * SECOND_NS + LEAD_NS
    said: dict[str, tuple[Said, ...]] = {}
    for place in places:
        state, most = _shortest(place)
        other = _another(dict(place.at_most_ns), state)
        said[place.id] = Said(due_at - most - SECOND_NS, other), Said(due_at - most, state)
        for one in said[place.id]:
            instance.state(one.at, one.state, [place.id])
    instance.settle()
    before = findings()
    in_time = clock.now_ns() < due_at
    instance.wait((due_at + SETTLED_NS - clock.now_ns()) / SECOND_NS)
    instance.settle()
    while_open = findings()
    ended = clock.now_ns()
    for place in places:
        instance.state(ended, said[place.id][0].state, [place.id])
    instance.settle()
    after = findings()
    outcomes = []
    for rule, points in chosen:
        for point in points:
            words = said[point.place]
            due = (Due(words[1].at, due_at, ended, ended, None, None, 0),)
            if in_time:
                outcomes.append(_outcome(rule, point, *BEFORE, words, (), before))
            else:
                slow = "this machine was too slow for the times of the test"
                outcomes.append(Outcome(rule.id, point.id, *BEFORE, NOT_TESTED, slow))
            opened = while_open.of(rule.id, point.id, words[1].at, words[1].at)
            more = [] if [row.open for row in opened] == [True] else ["it was not open while the state lasted"]
            outcomes.append(_outcome(rule, point, *RAISED, (*words, Said(ended, words[0].state)), due, after, more))
    return outcomes


def _shortest(place: Place) -> tuple[str, int]:
    return min(place.at_most_ns, key=lambda one: one[1])


def places_of(facility: Facility, chosen: Sequence[tuple[Rule, Sequence[Point]]]) -> list[Place]:
    """The rooms and zones at which the rules are challenged."""
    wanted = {point.place for _, points in chosen for point in points}
    return [place for place in facility.places if place.id in wanted]


def _outcome(
    rule: Rule, point: Point, case: str, title: str, said: Sequence[Said], due: Sequence[Due], findings: Findings, more: Sequence[str] = ()
) -> Outcome:
    since, until = min(one.at for one in said), max(one.at for one in said)
    found = findings.of(rule.id, point.id, since, until)
    words = [*compared(due, found), *more, *(why for row in found if (why := findings.untold(rule, row)))]
    if case.endswith("late/found") and any(not row.late and not row.revision for row in found):
        words.append("it is not marked as found late")
    if case.endswith("late/taken-back") and not findings.superseded(rule.id, point.id, since, until):
        words.append("no excursion was taken back: the late message came before anything was judged")
    return Outcome(
        rule.id, point.id, case, title, FAIL if words else PASS, expected=tuple(told(one) for one in due),
        actual=tuple(told(row) for row in found), differences=tuple(words), readings=len(said), span=(since, until),
    )  # fmt: skip
