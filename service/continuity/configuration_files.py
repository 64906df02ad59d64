"""Which files of a configuration's folder a backup takes, and which are secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from facility.document import parse_document

SECRET_KEYS = ("password_file", "url_file", "token_file", "key_file")
SECRET_FOLDERS = frozenset({"secrets", "private"})
SECRET_NAMES = ("*.key", "*.p12", "*.pfx", "*.env")
MAX_BYTES = 50_000_000
"""A larger file is no configuration."""


def configuration_files(folder: Path, data_dir: Path) -> tuple[list[Path], list[Path]]:
    """The files below the folder that are no secrets, and those that are, what this user may not read among them. OSError.

    Hidden ones and the data_dir are passed over.
    """
    found = sorted(_files(folder, data_dir.resolve()))
    named = {path for file in found if file.suffix in (".yaml", ".yml") for path in _named_secrets(file)}
    secrets = [path for path in found if path.resolve() in named or _looks_secret(path, folder)]
    return [path for path in found if path not in secrets], secrets


def _files(folder: Path, data_dir: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.resolve() == data_dir:
            continue
        if path.is_dir() and not path.is_symlink():
            if os.access(path, os.R_OK | os.X_OK):
                yield from _files(path, data_dir)
            else:
                yield path
        elif path.is_file() and path.stat().st_size <= MAX_BYTES:
            yield path


def _named_secrets(file: Path) -> Iterator[Path]:
    """What a file of the configuration names as a secret."""
    try:
        document, _ = parse_document(file.name, file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return
    waiting: list[object] = [document.value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            for key, item in value.items():
                if key in SECRET_KEYS and isinstance(item, str):
                    yield (file.parent / item).resolve()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _looks_secret(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder)
    if SECRET_FOLDERS & set(inside.parts[:-1]) or any(path.match(name) for name in SECRET_NAMES):
        return True
    return not os.access(path, os.R_OK) or path.is_dir() or b"PRIVATE KEY-----" in path.read_bytes()
