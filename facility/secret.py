"""A secret that no log, error or page can show by accident."""

from __future__ import annotations

import os
import stat
from hmac import compare_digest
from pathlib import Path

from facility.files import Forbidden, Unreadable

HIDDEN = "***"


class Secret:
    """A password, token or address with one inside; only `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


def read_secret(path: Path) -> Secret:
    """The secret in a file, without the line end that editors leave; raises Unreadable, which does not say what is in it."""
    try:
        text = path.read_text(encoding="utf-8").strip("\r\n")
    except FileNotFoundError:
        raise Unreadable(f"{path}, but there is no such file") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{path}, which is not UTF-8 text") from None
    except PermissionError:
        raise Forbidden(f"{path}, which this user may not read") from None
    except OSError as error:
        raise Unreadable(f"{path}, which cannot be read: {error.strerror}") from None
    if not text.strip():
        raise Unreadable(f"{path}, which is empty")
    return Secret(text)


def exposed(path: Path) -> bool:
    """Whether every user of this machine may read a file (POSIX permissions)."""
    return bool(path.stat().st_mode & stat.S_IROTH) if os.name == "posix" else False
