"""service/lock.py: two services never write to one data_dir."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.lock import DataDirInUse, DataDirLock, holder_of

HOLD = """
import sys, signal
from service.lock import DataDirLock
with DataDirLock(sys.argv[1]):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with DataDirLock(tmp_path), pytest.raises(DataDirInUse) as refused, DataDirLock(tmp_path):
        pytest.fail("two at once")
    assert refused.value.pid == os.getpid()
    assert f"{tmp_path} is in use by process {os.getpid()}" in str(refused.value)
    assert "Stop that one first" in str(refused.value)


def test_it_is_free_again_after_leaving_and_makes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    for _ in range(2):
        with DataDirLock(folder):
            assert holder_of(folder) is not None
        assert holder_of(folder) is None


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    assert holder_of(tmp_path / "nowhere") is None
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DataDirInUse, match=f"process {process.pid}"), DataDirLock(tmp_path):
            pytest.fail("two at once")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with DataDirLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
