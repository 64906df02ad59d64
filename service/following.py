"""What follows the configuration in force: the journal says which that is, the ledger judges by it, and the whole service goes after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from alerts.ledger import Applied
from alerts.pages.page import Letterhead
from facility.sources.source import subscriptions
from ingest.admission.prepared import Prepared
from ingest.journal.entries import CONFIGURATION, ConfigurationBody, encode
from ingest.journal.journal import Entry, JournalUnavailable
from ingest.sparkplug.host import Host, host_of
from service.applied import Journalled, NotInForce, changed_files, is_signed, journalled
from service.applying import Applying, Next, body_of, listens_otherwise, register
from service.clock import Clock, Onward
from service.configuration.configuration import Configuration
from service.configuration.judging import Judges
from service.configuration.values import changes_between
from service.pages.outbox import ANSWER_S
from service.pages.paging import Paging, letterhead_of
from service.stepping import StepsEnded

if TYPE_CHECKING:
    from service.pipeline import Pipeline

FILES_LOOKED_AT_NS = 10 * 10**9
"""So old may be what the console knows of files that are not in force."""

log = logging.getLogger(__name__)


class Following:
    """The configuration in force of a pipeline, and how it changes; `load` reads the files again.

    `dropped` are topics that the broker may still have us subscribed to, of all that there ever were.
    """

    def __init__(self, pipeline: Pipeline, configuration: Configuration, clock: Clock, load: Callable[[], Configuration]) -> None:
        self.configuration = configuration
        self._pipeline, self._clock = pipeline, clock
        self._judges = Judges()
        self._judges.know(configuration.as_entry(), configuration.judge)
        self.paging = Paging(self._judges)
        self.dropped: set[str] = set()
        self._in_force = 0
        self._next: Next | None = None
        self._files_known: tuple[int, str] | None = None
        self.apply = Applying(
            load, lambda: self.configuration, self._history, self._judges, self._prepared, self._take_force,
            lambda: pipeline.people is not None,
        )  # fmt: skip

    def put_in_force(self, stamps: Onward) -> dict[str, int]:
        """At the start: journal the configuration where it is another than the one in force; the register of point numbers."""
        history = self._history()
        number_of, added = register(history, self.configuration)
        entry = self.configuration.as_entry()
        kept = history[-1][1] if history else None
        if kept is None or kept.entry != entry:
            if kept is not None and is_signed(kept.entry):
                raise NotInForce("another configuration was applied meanwhile, and `apply: signed` is in force. Start again")
            changes = [] if kept is None else changes_between(kept.entry, self._judges.of(kept), entry, self.configuration.judge)
            self._pipeline.journal.append(CONFIGURATION, encode(body_of(self.configuration, added, changes)), stamps.now_ns())
        ever = {name for _, body in history for name in body.entry.get("subscriptions", ())}
        self.dropped = ever - set(subscriptions(self.configuration.sources))
        return number_of

    def host(self, configuration: Configuration, number_of: Mapping[str, int]) -> Host | None:
        """The host application that edge nodes of its sources speak to; None where there are none."""
        return host_of(configuration.sources, configuration.facility, number_of, self._pipeline.stamps.now_ns, self._clock.monotonic_ns)

    def after_step(self, applied: Applied, at: int) -> None:
        """On the step thread: what the ledger judges by is what everything follows, however it came into the journal."""
        configurations = self._pipeline.stepper.ledger.configurations
        if configurations and configurations[-1] != self._in_force:
            self._in_force = configurations[-1]
            self._adopt(self._in_force)
        self._pipeline.monitor.after_step(applied, at)

    def files_waiting(self) -> str:
        """The files that differ from what is in force, and what that means; looked at now and then."""
        now, known = self._clock.monotonic_ns(), self._files_known
        if known is not None and 0 <= now - known[0] < FILES_LOOKED_AT_NS:
            return known[1]
        entry = self.configuration.as_entry()
        words = ", ".join(changed_files(entry, self.configuration.settings.folder))
        if words:
            start = "" if is_signed(entry) else ", and so does a restart"
            words = f"changed since and not in force: {words}; `renrum apply` puts it in force{start}"
        self._files_known = (now, words)
        return words

    def _prepared(self, configuration: Configuration, number_of: Mapping[str, int]) -> Next:
        return Next(configuration, number_of, self._pipeline.monitor.prepared(configuration, number_of))

    def _history(self) -> list[Journalled]:
        """Every configuration that took force."""
        ledger = self._pipeline.stepper.ledger
        cursor, known = ledger.cursor, tuple(ledger.configurations)  # in this order: what is applied meanwhile is in both, not in neither
        with closing(self._pipeline.journal.reader()) as reader:
            return journalled(reader, known, cursor)

    def _take_force(self, following: Next, body: ConfigurationBody) -> None:
        """Have a configuration journalled between two steps, and admission follow it at that very entry; return when all else does, too."""
        pipeline, old, new = self._pipeline, self.configuration, following.configuration
        self._await_first_step()
        anew = listens_otherwise(old, new)
        with ExitStack() as quiet:
            if anew:  # births that the old sources knew mean nothing to the new ones: meanwhile the broker keeps what comes
                quiet.enter_context(pipeline.receiver.paused(ANSWER_S))
            host = pipeline.intake.host
            if anew:
                before, host = host, self.host(new, following.number_of)
                if host is not None:
                    host.recall(pipeline.stepper.ledger.lives.copy()) if before is None else host.follow(before)
            admitted = following.admitted = prepared_of(new, following.number_of, host)
            following.entry = body.entry
            self._next = following

            def around(append: Callable[[], Entry]) -> Entry:
                entry = pipeline.intake.reconfigured(admitted, append)
                assert entry is not None
                following.took = True
                return entry

            pipeline.stepper.ask(CONFIGURATION, body, around).result(timeout=ANSWER_S)
            if not following.adopted.wait(ANSWER_S):
                raise TimeoutError

    def _await_first_step(self) -> None:
        """After a start, or after a failure, the configuration before is in the journal and not yet judged by."""
        deadline = self._clock.monotonic_ns() + int(ANSWER_S * 10**9)
        while self._history()[-1][0].seq != self._in_force:
            if self._pipeline.stopping.wait(0.1):
                raise StepsEnded
            if self._clock.monotonic_ns() > deadline:
                raise JournalUnavailable("no step is taken, and the configuration before is not in force yet")

    def _adopt(self, seq: int) -> None:
        following, pipeline = self._next, self._pipeline
        if following is None:
            return  # the one that the service started with
        with closing(pipeline.journal.reader()) as reader:
            entry, body = journalled(reader, (seq,), pipeline.stepper.ledger.cursor)[0]
        if body.entry != following.entry:
            return
        old, new = self.configuration, following.configuration
        if not following.took and following.admitted is not None:  # its entry was said to have failed, and is there all the same
            pipeline.intake.reconfigured(following.admitted)
        self._next, self.configuration = None, new
        pipeline.emergency.configure(letterhead(new), new.oncall.channels, pipeline.reachable(new), new.oncall.roster.language_of)
        self.dropped = (self.dropped | set(subscriptions(old.sources))) - set(subscriptions(new.sources))
        pipeline.spawn(pipeline.monitor.show(following.shown).announcer.close)
        pipeline.couriers.serve(new.oncall.channels)
        pipeline.signalling.serve(new.oncall.signals)
        self._files_known = None
        if listens_otherwise(old, new) and not pipeline.receiver.pausing:
            pipeline.spawn(self._hang_up)
        following.at = entry.at
        following.adopted.set()
        log.info("configuration %s in force, by %s: %s", body.hash[:12], body.by, body.reason)

    def _hang_up(self) -> None:
        with self._pipeline.receiver.paused(ANSWER_S):
            pass  # the next session is for the topics of the configuration in force


def prepared_of(configuration: Configuration, number_of: Mapping[str, int], host: Host | None) -> Prepared:
    """What admission makes of messages under a configuration."""
    real_only = configuration.settings.environment == "production"
    return Prepared.of(configuration.facility, number_of, not real_only, configuration.sources, host)


def letterhead(configuration: Configuration) -> Letterhead:
    """What every page says of the service."""
    return letterhead_of(configuration.as_entry(), configuration.facility.site)
