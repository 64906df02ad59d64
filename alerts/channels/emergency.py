"""Pages from memory, for when the journal cannot be written: no disk, no outbox, no record."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from alerts.channels import Channel
from alerts.channels.delivery import SECOND_NS, OutboxItem, deliver
from alerts.channels.emergency_words import said
from alerts.pages.page import SERVICE, Letterhead, Page, notice
from alerts.pages.wording import ENGLISH

MINIMUM_GAP_NS = 15 * 60 * SECOND_NS

LanguageOf = Callable[[str], str]
"""The language that a target is told in; must need no disk."""

log = logging.getLogger(__name__)


def english(target: str) -> str:
    """Of those of whom nothing else is known."""
    return ENGLISH


@dataclass(frozen=True, slots=True)
class Telling:
    """How far telling one target of one reason has come: tries in a row that failed, when the last began, when the next may."""

    attempts: int = 0
    tried_ns: int = 0
    next_try_ns: int = 0
    under_way: bool = False


def may_tell(telling: Telling | None, at: int) -> bool:
    """Whether a target may be told now: never twice at once, not within the gap, unless the clock was set back."""
    return telling is None or (not telling.under_way and (at >= telling.next_try_ns or at < telling.tried_ns))


class Emergency:
    """Tells the last known recipients, each at most once in the gap for one reason; a try that failed is repeated with back-off.

    `channels` maps targets to channels, `chosen` says which of them at a moment (int ns UTC), all unless given; `language` which one a
    target is told in; `spawn(work)` runs work on a thread of its own; may be called from any thread.
    """

    def __init__(
        self,
        letterhead: Letterhead,
        channels: Mapping[str, Channel],
        spawn: Callable[[Callable[[], None]], object],
        minimum_gap_ns: int = MINIMUM_GAP_NS,
        chosen: Callable[[int], Collection[str]] | None = None,
        language: LanguageOf = english,
    ) -> None:
        self._letterhead, self._channels, self._spawn, self._gap_ns = letterhead, dict(channels), spawn, minimum_gap_ns
        self._chosen, self._language = chosen, language
        self._told: dict[tuple[str, str], Telling] = {}
        self._lock = threading.Lock()

    def configure(
        self,
        letterhead: Letterhead,
        channels: Mapping[str, Channel],
        chosen: Callable[[int], Collection[str]] | None = None,
        language: LanguageOf = english,
    ) -> None:
        """Others are to be told from now on."""
        with self._lock:
            self._letterhead, self._channels, self._chosen, self._language = letterhead, dict(channels), chosen, language

    def page(self, reason: str, at: int, do: str = "") -> tuple[str, ...]:
        """Tell why at `at` (ns UTC), and give back who is being told now; to be called again as long as the reason lasts.

        `reason` is a constant sentence: a changing part in it would be another reason, and another page.
        """
        with self._lock:
            channels = self._wanted(at)
            targets = tuple(target for target in channels if may_tell(self._told.get((reason, target)), at))
            for target in targets:
                before = self._told.get((reason, target), Telling())
                self._told[reason, target] = replace(before, tried_ns=at, under_way=True)
            head, language = self._letterhead, self._language
        for target in targets:
            spoken = language(target)
            page = notice(SERVICE, said(reason, spoken), letterhead=head, at=at, do=said(do, spoken), language=spoken)
            self._send(target, channels[target], reason, page)
        return targets

    def _wanted(self, at: int) -> dict[str, Channel]:
        """The channels of those who are chosen; all of them where nobody is, or nobody knows who."""
        if self._chosen is None:
            return self._channels
        try:
            chosen = self._chosen(at)
        except Exception as error:  # in an emergency rather everyone than nobody
            log.error("whom to tell is not known (%s: %s): everyone is told", type(error).__name__, error)
            return self._channels
        return {target: channel for target, channel in self._channels.items() if target in chosen} or self._channels

    def _send(self, target: str, channel: Channel, reason: str, page: Page) -> None:
        try:
            self._spawn(lambda: self._tell(target, channel, reason, page))
        except Exception as error:  # no thread to be had: this target must not stay under way for ever
            log.error("emergency page to %s: no thread for it: %s", target, error)
            self._tell(target, channel, reason, page)

    def _tell(self, target: str, channel: Channel, reason: str, page: Page) -> None:
        at = page.at_ns
        before = self._told[reason, target]
        result = deliver(OutboxItem(0, page, target, before.attempts), channel, lambda: at)
        if not result.ok:
            log.error("emergency page to %s: %s", target, result.detail)
        after = Telling(0, at, at + self._gap_ns) if result.ok else Telling(result.attempt, at, min(result.next_try_ns, at + self._gap_ns))
        with self._lock:
            self._told[reason, target] = after
