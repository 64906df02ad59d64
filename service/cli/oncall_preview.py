"""`renrum oncall preview`."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from alerts.duty.roster import Roster, subject_of
from alerts.pages.page import Page, render
from alerts.record.store import StateStore, StateUnavailable
from facility.document import did_you_mean, one_of
from facility.site import OCCUPANCIES, Point
from facility.times import format_time, local_time
from rules.excursion import Excursion
from rules.plan import plan_of
from rules.rule import Rule
from rules.selecting import judges
from service.cli.lookups import span_of, time_of
from service.cli.options import Refusal, config_option, json_option
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.console.views import LimitsInForce
from service.duty.on_duty import Told
from service.duty.on_duty import preview as told_of
from service.duty.overrides import overrides_in
from service.following import letterhead
from service.stored import records

REPETITIONS = 3
"""Of the same step to the same person that are shown."""


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="RULE POINT | ALARM")
@config_option
@click.option("--at", "at_text", metavar="TIME", help="As if raised then: RFC 3339, or local at the site; now unless given.")
@click.option("--span", default="24h", show_default=True, metavar="SPAN", help="For so long nobody acknowledges.")
@json_option
def preview(what: tuple[str, ...], config: Path, at_text: str | None, span: str, as_json: bool) -> None:
    """Show who would be told what, when and how, if nobody acknowledged: of a RULE at a POINT, or of an ALARM that there was.

    Nobody is told. Swaps that were made in the console count, where the data_dir can be read.

    \b
    Examples:
      renrum oncall preview dp-cascade cp1.dp1.dp
      renrum oncall preview dp-cascade cp1.dp1.dp --at 2026-12-24T20:00 --span 2h
      renrum oncall preview A17
    """
    configuration = load_configuration(config, os.environ)
    zone = ZoneInfo(configuration.facility.site.timezone)
    at = SystemClock().now_ns() if at_text is None else time_of("--at", at_text, zone)
    if len(what) == 1:
        alarm, excursion = _alarm(configuration, what[0])
        excursion = replace(excursion, ended=None, cleared=None)  # as it was when it was told
        rule, point = _rule(configuration, excursion.rule), _point(configuration, excursion.point)
        at = alarm.raised_at if at_text is None else at
    elif len(what) == 2:
        rule, point = _rule(configuration, what[0]), _point(configuration, what[1])
        if not judges(rule, point, configuration.facility):
            raise Refusal(f"{rule.id} does not judge {point.id}. `renrum rules list --json` names the points of each rule.")
        excursion = _specimen(configuration, rule, point, at)
    else:
        raise Refusal(f"found {len(what)} words; allowed: RULE POINT, or the id of one alarm.")
    roster = configuration.oncall.roster
    subject = subject_of(rule, point, configuration.facility)
    told, goes_on = told_of(configuration, subject, at, overrides_in(configuration.settings.data_dir), span_of("--span", span))
    page = render(
        excursion, alarm="", rule=rule, facility=configuration.facility, letterhead=letterhead(configuration), at=at,
        language=roster.language,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(_document(told, goes_on, page), indent=2, ensure_ascii=False))
    else:
        _show(told, goes_on, page, roster, zone, at, span)


def _alarm(configuration: Configuration, id_: str) -> tuple[Any, Excursion]:
    path = configuration.settings.data_dir / "state.db"
    if not path.is_file():
        raise Refusal(f"There is no {path}, so no alarm {id_!r}: no service has run on it yet. Give a rule and a point instead.")
    try:
        with closing(StateStore(path, readonly=True)) as store:
            found = records.alarms_by_id(store, [id_])
    except StateUnavailable as error:
        raise Refusal(str(error)) from None
    if not found:
        raise Refusal(f"There is no alarm {id_!r}. `renrum alarms` lists them; or give a rule and a point.")
    return found[0]


def _rule(configuration: Configuration, id_: str) -> Rule:
    """The rule of an id; of one with `levels` the highest."""
    own = [rule for rule in configuration.rules if rule.id == id_] or [rule for rule in configuration.rules if rule.alarm == id_]
    if not own:
        ids = tuple(rule.id for rule in configuration.rules)
        raise Refusal(f"There is no rule {id_!r}. {did_you_mean(id_, ids) or f'There are {one_of(ids)}.'}")
    return min(own, key=lambda rule: rule.level != "action")


def _point(configuration: Configuration, id_: str) -> Point:
    points = configuration.facility.point_by_id
    if id_ not in points:
        raise Refusal(f"There is no point {id_!r}. {did_you_mean(id_, tuple(points)) or '`renrum rules list --json` names them.'}")
    return points[id_]


def _specimen(configuration: Configuration, rule: Rule, point: Point, at: int) -> Excursion:
    """An excursion as the rule would find it: at the nearest value that breaks the limit."""
    facility = configuration.facility
    number_of = {known.id: number for number, known in enumerate(facility.points)}
    limits = LimitsInForce(plan_of(facility, configuration.rules, configuration.tables, number_of, configuration.judging_hash), number_of)
    occupancy = "at_rest" if rule.kind == "recovery" else facility.place_by_id[point.place].occupancy
    in_force = limits.of(point.id, OCCUPANCIES.index(occupancy))
    own = next((limit for limit in in_force if limit.rule == rule.id), None)
    limit = None if own is None else own.below if own.below is not None else own.above
    step = point.resolution or 10.0 ** (math.floor(math.log10(abs(limit) or 1)) - 2 if limit is not None else 0)
    peak = None if own is None or limit is None else limit - step if own.below is not None else limit + step
    onset = at - rule.on_delay.of(point.period_ns or 0)
    return Excursion(
        rule.id, point.id, rule.level, onset=onset, raised=at, peak=peak, limit=limit, unit=point.unit,
        room=point.room, zone=point.zone or "", occupancy=occupancy, config=configuration.judging_hash,
    )  # fmt: skip


def _document(told: list[Told], goes_on: bool, page: Page) -> dict[str, Any]:
    return {
        "notices": [{"at": format_time(one.at), "policy": one.policy, **asdict(one.notice), "remark": one.remark} for one in told],
        "goes_on": goes_on,
        "page": {"subject": page.subject, "text": page.text},
    }


def _show(told: list[Told], goes_on: bool, page: Page, roster: Roster, zone: ZoneInfo, at: int, span: str) -> None:
    click.echo(f"If nobody acknowledges, in the time of {zone.key}:")
    rows = [
        (
            local_time(one.at, zone),
            f"+{(one.at - at) / 60e9:g} min",
            f"{one.policy} {one.notice.step}".strip(),
            _who(one, roster),
            one.notice.target,
        )
        for one in told
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    times = Counter[tuple[str, ...]]()
    for row, one in zip(rows, told, strict=True):
        times[(*row[2:], one.remark)] += 1
        if times[(*row[2:], one.remark)] > REPETITIONS:
            continue
        remark = f"  ({one.remark})" if one.remark else ""
        click.echo("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + remark)
    if more := sum(count - REPETITIONS for count in times.values() if count > REPETITIONS):
        click.echo(f"  … and {more:,} more repetitions of these until {rows[-1][0]}; --json lists all")
    if not told:
        click.echo("  nobody is told; the console shows it")
    elif goes_on:
        click.echo(f"  … and so on after {span}")
    elif roster.chooses:
        click.echo("  then nobody any more")
    click.echo(f"\n{page.subject}\n\n{page.text}", nl=False)


def _who(one: Told, roster: Roster) -> str:
    """A person's name, and why it is that one."""
    notice = one.notice
    if not notice.person:
        return "every channel"
    name = roster.people[notice.person].name
    return name if notice.named == notice.person else f"{name} ({notice.named})"
