"""A process that has loaded the service and forks it on demand: a start then takes a tenth of a second instead of seconds.

It has one thread and has done nothing but import, so that what it forks is a fresh service: killed, it leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Nursery:
    """The test's side."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.nursery"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()

    def born(self, arguments: Sequence[str], log: Path) -> int:
        """Start a service; its process id."""
        answer = self._ask("start", list(arguments), str(log))
        assert answer is not None
        return answer

    def ended(self, pid: int) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._ask("end", pid)

    def _ask(self, *question: object) -> int | None:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(question), file=self._process.stdin, flush=True)
            answer: int | None = json.loads(self._process.stdout.readline())
            return answer


@cache
def nursery() -> Nursery:
    """The one of this test run; it ends with it."""
    return Nursery()


def main() -> None:
    import_module("service.pipeline")  # the slow part of a start
    from tests.support.hooked import main as run

    ended: dict[int, int] = {}
    for line in sys.stdin:
        kind, *given = json.loads(line)
        answer: int | None
        if kind == "start":
            arguments, log = given
            answer = os.fork()
            if answer == 0:
                live(partial(run, arguments), log)
        else:
            pid = given[0]
            if pid not in ended:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    ended[pid] = os.waitstatus_to_exitcode(status)
            answer = ended.get(pid)
        print(json.dumps(answer), flush=True)


def live(life: Callable[[], None], log: str) -> None:
    """The life of a child, which never returns."""
    code = 1
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(descriptor, target)
        sys.stdin = open(os.devnull)  # noqa: SIM115 - for the life of the process
        life()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
