"""Signatures: how the audit trail tells of them, and what one on a configuration is bound to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from ingest.journal.entries import Body, ConfigurationBody


def as_signed(reason: str, meaning: str, digest: str) -> str:
    """A reason with the signature under it, if there is one.

    >>> as_signed("seen", "review", "0123456789abcdef0123")
    "seen — signed as 'review', 0123456789abcdef…"
    """
    return f"{reason} — signed as {meaning!r}, {digest[:16]}…".removeprefix(" — ") if digest else reason


def reasons_of(body: ConfigurationBody) -> tuple[str, str]:
    """Why a configuration took force, as the audit trail tells of its values, and of the whole, which is what is signed."""
    why = f"{body.change}: {body.reason}" if body.change else body.reason
    return why, as_signed(why, body.meaning, body.digest)


def digest_of(entry: Mapping[str, Any]) -> str:
    """sha256 in hex of a configuration as the journal keeps it: of every text of its files."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def applied_digest(body: ConfigurationBody) -> str:
    """SHA-256 (hex) over what is signed: the files whole, what they change, who signs, why, for which change, when, and the meaning."""
    seen = [digest_of(body.entry), [[changed.what, changed.old, changed.new] for changed in body.changes]]
    said = [body.by, body.reason, body.change, body.meaning, body.signed_ns]
    return hashlib.sha256(json.dumps([seen, said], ensure_ascii=False).encode()).hexdigest()


def signed(body: ConfigurationBody, meaning: str, at: int) -> ConfigurationBody:
    """The same, signed at `at` (int ns UTC); as it is where nobody means anything by it."""
    if not meaning:
        return body
    body = structs.replace(body, meaning=meaning, signed_ns=at)
    return structs.replace(body, digest=applied_digest(body))


def is_signed_over(body: Body) -> bool:
    """Whether the signature on a configuration is over this very one; True where nobody signed."""
    assert isinstance(body, ConfigurationBody)
    return not (body.digest or body.meaning) or body.digest == applied_digest(body)
