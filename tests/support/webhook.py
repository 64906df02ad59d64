"""A real HTTP server on a free port of the loopback that keeps what is posted and answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.collector import Collector


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Answer:
    """What the server says; `hold` makes it wait until the event is set."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    hold: threading.Event | None = None


@dataclass
class Hook:
    """The server's side: `answers` are used up one a request, then comes `answer`."""

    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    answer: Answer = field(default_factory=Answer)
    collector: Collector = field(default_factory=Collector)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def webhook_server() -> Iterator[Hook]:
    """The server while the context lasts; the collector hears of what was answered with 2xx."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.posted.append(Posted(self.path, dict(self.headers.items()), body))
            answer = hook.answers.pop(0) if hook.answers else hook.answer
            if answer.hold is not None:
                answer.hold.wait(10)
            if answer.status < 300:
                hook.collector.received(self.path, body.get("id", ""))
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body.encode())))
                self.end_headers()
                self.wfile.write(answer.body.encode())
            except ConnectionError:
                return  # the client gave up waiting

        def log_message(self, format: str, *args: object) -> None:
            """Silent: tests look at what was posted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
