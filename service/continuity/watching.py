"""The watch: another machine asks whether the service lives, and pages when it does not. It knows nothing of its journal or its outbox."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alerts.channels import Channel
from alerts.channels.emergency import Emergency, LanguageOf, english
from alerts.pages.page import Letterhead
from facility.secret import Secret
from facility.times import format_time
from service.clock import Clock

PATIENCE_S = 10.0
SECOND_NS = 10**9
ONCE_NS = 10**18
"""Longer than anybody waits: each is told once."""
_ANSWER_BYTES = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is, what lets us in (None: nothing is needed), and whose certificates to trust (None: the system's)."""

    url: str
    token: Secret | None = None
    ca_file: Path | None = None

    def ask(self) -> tuple[str, str]:
        """What is wrong, empty when it lives; and the time that its answer names. Never raises."""
        request = urllib.request.Request(f"{self.url.rstrip('/')}/healthz", headers={"Accept": "application/json"})
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token.reveal()}")
        try:
            handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
            if self.url.startswith("https:"):
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca_file)))
            with urllib.request.build_opener(*handlers).open(request, timeout=PATIENCE_S) as answer:
                document = json.loads(answer.read(_ANSWER_BYTES))
            if document["ok"] is not True:
                return f"it says that it is not well: {_failed(document)}", ""
            return "", str(document.get("time", ""))
        except urllib.error.HTTPError as error:
            with error:
                return _refused(error), ""
        except (ValueError, KeyError, TypeError):
            return "what answers is not Renrum", ""
        except Exception as error:  # whatever it is, nobody has said that the service lives
            return f"it does not answer: {getattr(error, 'reason', None) or str(error) or type(error).__name__}", ""


@dataclass(slots=True)
class Watch:
    """Asks again and again; `ask` gives what is wrong (empty: nothing) and the time in the answer.

    Silent for `after_ns`, and everybody is told, again every `remind_ns`, and once when it is back.
    """

    url: str
    ask: Callable[[], tuple[str, str]]
    channels: Mapping[str, Channel]
    letterhead: Letterhead
    clock: Clock
    spawn: Callable[[Callable[[], None]], object]
    after_ns: int = 60 * SECOND_NS
    remind_ns: int = 1800 * SECOND_NS
    language: LanguageOf = english
    silent_since_ns: int | None = None
    silent_from: int = 0
    reason: str = ""
    outage: Emergency | None = None
    back: tuple[Emergency, str] | None = None
    _answered: str = field(default="")

    def look(self) -> str:
        """Ask once, and tell what is to be told; what is wrong, empty when nothing is."""
        wrong, said = self.ask()
        if not wrong and said and said == self._answered:
            wrong = f"its answer is an old one, of {said}"
        self._answered = said or self._answered
        if wrong:
            self._silent(wrong)
        else:
            self._lives()
        return wrong

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Look until stopped; an error of ours is logged, and the next look comes all the same."""
        while not stop.is_set():
            try:
                self.look()
            except Exception:
                log.exception("the watch met an error of its own")
            stop.wait(every_s)

    def _silent(self, wrong: str) -> None:
        now, at = self.clock.monotonic_ns(), self.clock.now_ns()
        if self.silent_since_ns is None:
            self.silent_since_ns, self.silent_from = now, at
            log.warning("%s: %s", self.url, wrong)
        if self.outage is None and now - self.silent_since_ns >= self.after_ns:
            self.outage = self._emergency(self.remind_ns)
            self.back = None
            self.reason = f"Renrum at {self.url} is silent: {wrong}. As long as it is, nobody is told of excursions."
        if self.outage is not None:
            self.outage.page(self.reason, at, do="Look at that machine, its network and its service; watch what must not go wrong by hand.")

    def _emergency(self, gap_ns: int) -> Emergency:
        return Emergency(self.letterhead, self.channels, self.spawn, gap_ns, language=self.language)

    def _lives(self) -> None:
        at = self.clock.now_ns()
        if self.outage is not None:
            minutes = (self.clock.monotonic_ns() - (self.silent_since_ns or 0)) / (60 * SECOND_NS)
            words = f"Renrum at {self.url} is back. It was silent for {minutes:.0f} min, since {format_time(self.silent_from)}."
            self.back = self._emergency(ONCE_NS), words
            log.warning("%s", words)
        elif self.silent_since_ns is not None:
            log.warning("%s answers again", self.url)
        self.outage, self.silent_since_ns = None, None
        if self.back is not None:
            emergency, words = self.back
            emergency.page(words, at, do="What instruments sent meanwhile waits at the broker and is judged now: expect late alarms.")


def _refused(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return f"it lets us not in ({error.code}): is the token right?"
    try:
        return f"it says that it is not well: {_failed(json.loads(error.read(_ANSWER_BYTES)))}"
    except (ValueError, KeyError, TypeError, OSError):
        return f"it answers {error.code}"


def _failed(document: Mapping[str, object]) -> str:
    """The checks that failed, in the service's own words."""
    checks = document["checks"]
    assert isinstance(checks, list)
    return "; ".join(f"{check['name']}: {check['words']}" for check in checks if not check["ok"]) or "no reason given"
