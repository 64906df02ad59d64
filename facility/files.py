"""The texts of a configuration by name: from its folder, or from a journal entry that kept them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path
from posixpath import dirname, isabs, join, normpath

MAX_BYTES = 50_000_000
FilePath = str | os.PathLike[str]


class Unreadable(Exception):
    """A file that cannot be read; the text says what was found instead."""


class Forbidden(Unreadable):
    """A file that this user may not read."""


AS_THE_SERVICE = "Run this as the user of the service: sudo -u renrum renrum …"
"""What to do about a configuration that is Forbidden: its folder belongs to that user alone."""


class Files:
    """Reads the files of one configuration and keeps every text as read; with `texts` only, the disk is not touched.

    Names are relative to the configuration's folder, with `/`; absolute ones stay absolute.
    """

    def __init__(self, folder: FilePath | None = None, texts: Mapping[str, str] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.texts: dict[str, str] = dict(texts or {})

    @classmethod
    def around(cls, path: FilePath) -> tuple[Files, str]:
        """The files of the folder that a path lies in, and its own name there."""
        return cls(Path(path).parent), Path(path).name

    def read(self, name: str) -> str:
        """The text of a file; raises Unreadable."""
        if name not in self.texts:
            self.texts[name] = self._from_disk(name)
        return self.texts[name]

    def shown(self, name: str) -> str:
        """A file's name as its user would write it where the command runs."""
        return name if self.folder is None else str(self.folder / name)

    def _from_disk(self, name: str) -> str:
        if self.folder is None:
            raise Unreadable(f"{name!r}, which is not among the texts that were kept")
        path = self.folder / name
        try:
            if path.stat().st_size > MAX_BYTES:
                raise Unreadable(f"{name!r}, which is larger than {MAX_BYTES // 10**6} MB")
            # newline="" keeps the bytes of line ends, so that the journal holds what was read
            with path.open(encoding="utf-8-sig", newline="") as file:
                return file.read()
        except FileNotFoundError:
            raise Unreadable(f"{name!r}, but there is no such file in {path.parent}") from None
        except UnicodeDecodeError as error:
            raise Unreadable(f"{name!r}, which is not UTF-8 text (byte {error.start})") from None
        except PermissionError:
            raise Forbidden(f"{name!r}, which this user may not read") from None
        except OSError as error:
            raise Unreadable(f"{name!r}, which cannot be read: {error.strerror}") from None


def packaged(package: str, suffix: str) -> dict[str, str]:
    """The texts that a package of ours ships, by name without the suffix."""
    found = (file for file in package_files(package).iterdir() if file.name.endswith(suffix))
    return {file.name.removesuffix(suffix): file.read_text(encoding="utf-8") for file in found}


def beside(name: str, reference: str) -> str:
    """The name of a file that the file `name` refers to, relative to where `name` lies."""
    return reference if isabs(reference) else normpath(join(dirname(name), reference))
