"""A broker without an installation, for the demo: the `mosquitto` program where there is one, else amqtt inside this process."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from amqtt.broker import Broker

ATTEMPTS = 5
START_S = 10.0
STOP_S = 5.0
_LOOPBACK = "127.0.0.1"
_LOG = logging.getLogger(__name__)
_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 30
max_queued_messages 1000000
max_queued_bytes 0
max_inflight_messages 1000
pid_file {folder}/mosquitto.pid
log_dest file {folder}/mosquitto.log
log_type error
log_type warning
"""


class BrokerFailed(Exception):
    """The embedded broker did not start; the message says why and what to do."""


class EmbeddedBroker:
    """A broker on the loopback interface only, for demonstration, running inside `with`.

    `data_dir` keeps its queue and log in `broker/`; `port` 0 takes a free one. `kind` chooses `mosquitto` or `amqtt`; None takes the first
    that is there. amqtt speaks MQTT 3.1.1 only and forgets its queue with the process. Raises BrokerFailed.
    """

    def __init__(self, data_dir: Path, port: int = 0, kind: Literal["mosquitto", "amqtt"] | None = None) -> None:
        self._folder = data_dir / "broker"
        self._port = port
        self._binary = mosquitto_binary() if kind != "amqtt" else None
        if kind == "mosquitto" and self._binary is None:
            raise BrokerFailed("mosquitto is neither on PATH nor in /usr/sbin; install it, or use amqtt")
        self.kind: Literal["mosquitto", "amqtt"] = "amqtt" if self._binary is None else "mosquitto"
        self._running: _Mosquitto | _Amqtt | None = None

    @property
    def url(self) -> str:
        """Where it listens, `mqtt://127.0.0.1:<port>`; valid inside `with`."""
        return f"mqtt://{_LOOPBACK}:{self._port}"

    @property
    def protocol(self) -> Literal["auto", "3.1.1"]:
        """What to set in Connection: amqtt leaves an MQTT 5 CONNECT without an answer, which costs the fall-back some seconds."""
        return "3.1.1" if self.kind == "amqtt" else "auto"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        asked = self._port
        failure = ""
        for _ in range(1 if asked else ATTEMPTS):  # between finding a free port and listening on it, somebody else may take it
            self._port = asked or _free_port()
            try:
                self._running = _Amqtt(self._port) if self._binary is None else _Mosquitto(self._binary, self._folder, self._port)
            except BrokerFailed as error:
                failure = str(error)
            else:
                return self
        raise BrokerFailed(f"the embedded broker ({self.kind}) does not start on {self.url}: {failure}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


def mosquitto_binary() -> str | None:
    """The path of the mosquitto program; Debian has it outside an ordinary user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((_LOOPBACK, port), timeout=0.2):
        return True
    return False


class _Mosquitto:
    """The program with our own configuration, in a session of its own: a Ctrl-C for us must not take it away before we are done."""

    def __init__(self, binary: str, folder: Path, port: int) -> None:
        self._pid_file = folder / "mosquitto.pid"
        self._end_orphan(folder)
        configuration = folder / "mosquitto.conf"
        text = _CONFIGURATION.format(port=port, folder=folder.resolve())
        if os.name == "posix" and os.geteuid() == 0:
            text += "user root\n"  # as root it would change to a user who may not write here
        configuration.write_text(text, encoding="utf-8")
        self._process = subprocess.Popen(
            [binary, "-c", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(int(START_S / 0.05)):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
            if self._process.poll() is not None:
                raise BrokerFailed(self._last_words(folder))
            if _answers(port) and self._process.poll() is None:
                return
        self.stop()
        raise BrokerFailed(f"nothing listens after {START_S:.0f} s; see {folder / 'mosquitto.log'}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _last_words(self, folder: Path) -> str:
        stderr = b""
        if self._process.stderr is not None:
            stderr = self._process.stderr.read()
            self._process.stderr.close()
        with suppress(OSError):
            stderr = stderr or (folder / "mosquitto.log").read_bytes()
        lines = stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with exit code {self._process.returncode}"

    def _end_orphan(self, folder: Path) -> None:
        """The broker of an earlier run that was killed lives on, and would write the same queue file: end it, if it is surely ours."""
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            ours = str(folder / "mosquitto.conf").encode()
            pause = threading.Event()
            for attempt in range(int(STOP_S / 0.05)):
                if ours not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return
                if attempt == 0:
                    os.kill(pid, signal.SIGTERM)
                pause.wait(0.05)


class _Amqtt:
    """amqtt on an event loop of its own in a thread of its own."""

    def __init__(self, port: int) -> None:
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs a traceback for each client that hangs up
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_unheard)
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._thread.start()
        configuration = {
            "listeners": {"default": {"type": "tcp", "bind": f"{_LOOPBACK}:{port}", "max_connections": 100}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        self._broker: Broker | None = None
        try:
            asyncio.run_coroutine_threadsafe(self._start(configuration), self._loop).result(START_S)
        except Exception as error:  # of its many kinds all mean the same here
            self._end_loop()
            raise BrokerFailed(str(error) or type(error).__name__) from None

    async def _start(self, configuration: dict[str, object]) -> None:
        from amqtt.broker import Broker  # 0.3 s of imports that only this needs

        self._broker = Broker(configuration)
        await self._broker.start()

    def stop(self) -> None:
        if self._broker is not None:
            with suppress(Exception):  # it is going away; what it still had to say about it helps nobody
                asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(STOP_S)
        self._end_loop()

    def _end_loop(self) -> None:
        asyncio.run_coroutine_threadsafe(_close_rest(), self._loop).result(STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)
        self._loop.close()


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """amqtt raises into its event loop when a client hangs up, and goes on."""
    _LOG.debug("amqtt: %s", context.get("message"))


async def _close_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    # amqtt leaves connections open whose client hung up, and Python 3.11 has no public way to find them.
    for transport in list(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    await asyncio.sleep(0)
