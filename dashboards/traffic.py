"""Requests counted: how many were answered how, and how long an answer took to begin."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.histogram import Histogram


class Traffic:
    """What was asked since the start; the event loop counts, any thread may look."""

    def __init__(self) -> None:
        self.by_code: Counter[int] = Counter()
        self.until_answer = Histogram()


class Counted:
    """ASGI middleware that counts into a Traffic. A stream counts when it begins; the loop's clock only grows."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app, self.traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        begun, answered = clock(), False

        def count(code: int) -> None:
            nonlocal answered
            answered = True
            self.traffic.by_code[code] += 1
            self.traffic.until_answer.observe(clock() - begun)

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        except Exception:
            if not answered:  # whoever stands before us makes a 500 of it
                count(500)
            raise
