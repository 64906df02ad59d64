"""What a backup says of itself: manifest.json, written anew after everything that it speaks of is on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

MANIFEST = "manifest.json"
FORMAT = 1
CONFIGURATION = "configuration"
"""The folder of the configuration's files in a backup, beside the files of the journal's copy and of state.db."""


class BackupUnusable(Exception):
    """A backup that cannot be used: what, where, what to do."""


class Kept(msgspec.Struct, frozen=True):
    """A file of the backup: its size, the SHA-256 of its content in hex, who may do what with it where it comes from."""

    bytes: int
    sha256: str
    mode: int = 0o600


class JournalKept(msgspec.Struct, frozen=True):
    """The journal's prefix: how many entries, the newest one's hash in hex and its time (RFC 3339)."""

    entries: int = 0
    head: str = ""
    at: str = ""


class Manifest(msgspec.Struct, frozen=True):
    """A backup in a few words.

    `state` names its copy of state.db (empty: none), computed from the first `state_entries` entries; `files` are by name relative to it;
    `left_out` is what of the configuration is not in it, since it is secret.
    """

    format: int
    renrum: str
    written: str
    host: str
    journal: JournalKept = JournalKept()
    state: str = ""
    state_entries: int = 0
    files: dict[str, Kept] = {}
    left_out: list[str] = []


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup; raises BackupUnusable when there is none that this version can read."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupUnusable(f"{folder} is no backup: there is no {MANIFEST} in it. Is the share mounted?") from None
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror}. Run this as a user who may read the backup.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupUnusable(f"{path} is no manifest of a backup: {error}") from None
    if manifest.format != FORMAT:
        words = (
            f"{path} has format {manifest.format}, this version reads format {FORMAT}. Use the version that wrote it, {manifest.renrum}."
        )
        raise BackupUnusable(words)
    return manifest


def write_manifest(folder: Path, manifest: Manifest, *, again: bool = False) -> None:
    """Put a manifest in the place of the one before, whole or not at all; with `again` only where there is one. OSError."""
    put(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1), again=again)


def put(path: Path, content: bytes, mode: int = 0o600, *, again: bool = False) -> None:
    """Write a file whole or not at all, durably; with `again` only in place of one, else FileNotFoundError. OSError."""
    fresh = f"{path.name}.new"
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # the very folder that was looked into, whatever has its name meanwhile
        if again:
            os.stat(path.name, dir_fd=folder)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode, dir_fd=folder)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def digest_of(path: Path) -> Kept:
    """Size, SHA-256 and mode of a file; OSError."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        return Kept(status.st_size, hashlib.file_digest(file, "sha256").hexdigest(), status.st_mode & 0o777)


def changed_files(folder: Path, manifest: Manifest) -> list[str]:
    """The files of a backup that are missing or not as its manifest says."""
    wrong = []
    for name, kept in sorted(manifest.files.items()):
        try:
            if digest_of(folder / name).sha256 != kept.sha256:
                wrong.append(f"{name} was changed")
        except OSError as error:
            wrong.append(f"{name} cannot be read: {error.strerror}")
    return wrong
