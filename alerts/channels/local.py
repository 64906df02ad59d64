"""A local sink: one JSON line a page, appended to a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alerts.channels.channel import DeliveryError
from alerts.pages.page import Page


@dataclass(frozen=True, slots=True)
class Local:
    """A file that pages are appended to; a line cut off by a crash or a full disk is closed by the next one."""

    file: Path

    def send(self, page: Page) -> None:
        """Return when the line is on disk."""
        line = msgspec.json.encode(page.document()) + b"\n"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab+", buffering=0) as sink:
                end = sink.seek(0, os.SEEK_END)
                if end:
                    sink.seek(end - 1)
                    line = line if sink.read(1) == b"\n" else b"\n" + line
                rest = memoryview(line)
                while rest:
                    rest = rest[sink.write(rest) :]
                os.fsync(sink.fileno())
        except OSError as error:
            raise DeliveryError(f"{self.file}: {error.strerror or error}", "The folder must be writable and have room") from None
