"""What is installed: versions, every distribution, our own files against the record of the wheel; and as a bill of materials."""

from __future__ import annotations

import base64
import hashlib
import platform
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath
from uuid import UUID

OURS = "renrum"
_CACHES = "__pycache__"


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution: its RECORD's SHA-256 in hex (empty: it has none), its licence as it says itself, what it needs."""

    name: str
    version: str
    record: str
    licence: str
    requires: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Proof:
    """Our files against the wheel's record: how many were checked, what is wrong; `why_not` says why nothing could be checked."""

    checked: int = 0
    wrong: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def ok(self) -> bool:
        return not self.wrong and not self.why_not


def machine() -> dict[str, str]:
    """The versions that everything runs on."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _distribution(),
        "machine": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
    }


def installed() -> list[Installed]:
    """Every distribution that this Python sees, each once, by name."""
    found: dict[str, Installed] = {}
    for dist in distributions():
        name = normal(dist.metadata["Name"] or "")
        if name and name not in found:  # of two on the path the first is the one that is imported
            found[name] = Installed(
                name, dist.version, _record_digest(dist), _licence(dist), tuple(sorted(set(_needed(dist.requires or ()))))
            )
    return [found[name] for name in sorted(found)]


def prove(name: str = OURS, packages: Sequence[str] = ()) -> Proof:
    """Compare the files of a distribution with its record; in `packages`, our top-level ones, nothing else may lie."""
    try:
        dist = distribution(name)
    except PackageNotFoundError:
        return Proof(why_not=f"{name} is not installed: this runs from a folder of sources")
    files = dist.files or ()
    recorded = {PurePosixPath(str(file)): file for file in files}
    if not any(path.parts[0] in packages for path in recorded):
        return Proof(why_not=f"{name} {dist.version} is installed from a folder of sources that may change (editable): install the wheel")
    wrong, checked = [], 0
    for path, file in sorted(recorded.items()):
        if file.hash is None or _CACHES in path.parts:
            continue
        checked += 1
        try:
            content = Path(str(file.locate())).read_bytes()
        except OSError as error:
            wrong.append(f"{path}: missing ({error.strerror})")
            continue
        digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, content).digest()).rstrip(b"=").decode()
        if digest != file.hash.value:
            wrong.append(f"{path}: changed")
    for package in packages:
        folder = Path(str(dist.locate_file(package)))
        there = {PurePosixPath(file.relative_to(folder.parent).as_posix()) for file in folder.rglob("*") if file.is_file()}
        wrong += [f"{path}: not of the wheel" for path in sorted(there - recorded.keys()) if _CACHES not in path.parts]
    return Proof(checked, tuple(wrong))


def own_files(packages: Sequence[str], home: Path) -> dict[str, str]:
    """The SHA-256 in hex of each file of our packages, by its path."""
    found = (file for package in packages for file in (home / package).rglob("*") if file.is_file() and _CACHES not in file.parts)
    return {file.relative_to(home).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(found)}


def configuration_files_of(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 in hex of each file of a configuration, by its path in its folder."""
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def bill_of_materials(found: Sequence[Installed], at: str) -> dict[str, object]:
    """CycloneDX 1.6 JSON (ECMA-424): what is installed beside us and what needs what; the same installation has one serial number."""
    ours = next((entry for entry in found if entry.name == OURS), None)
    known = {entry.name: entry for entry in found}
    seed = hashlib.sha256("".join(f"{entry.purl} {entry.record}\n" for entry in found).encode()).digest()[:16]
    document: dict[str, object] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": UUID(bytes=seed, version=4).urn,
        "version": 1,
        "metadata": {"timestamp": at} | ({"component": _component(ours, "application")} if ours is not None else {}),
        "components": [_component(entry, "library") for entry in found if entry is not ours],
        "dependencies": [
            {"ref": entry.purl, "dependsOn": sorted(known[name].purl for name in entry.requires if name in known)} for entry in found
        ],
    }
    return document


def normal(name: str) -> str:
    """A distribution's name as the index knows it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(entry: Installed, kind: str) -> dict[str, object]:
    component: dict[str, object] = {
        "type": kind, "bom-ref": entry.purl, "name": entry.name, "version": entry.version, "purl": entry.purl,
    }  # fmt: skip
    if entry.licence:
        component["licenses"] = [{"license": {"name": entry.licence}}]
    if entry.record:
        component["properties"] = [{"name": "renrum:record-sha256", "value": entry.record}]
    return component


def _needed(requirements: Iterable[str]) -> Iterable[str]:
    """Names of what a distribution needs in any case, extras left out."""
    for line in requirements:
        if "extra ==" not in line:
            yield normal(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])


def _record_digest(dist: Distribution) -> str:
    text = dist.read_text("RECORD")
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _licence(dist: Distribution) -> str:
    """The licence expression, else what stands in the field of old, when that is no whole text, else the classifiers."""
    metadata = dist.metadata
    for key in ("License-Expression", "License"):
        text = str(metadata[key] or "").strip() if key in metadata else ""
        if text and "\n" not in text and len(text) < 100:
            return text
    classifiers = [str(line).rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or () if str(line).startswith("License ::")]
    return " or ".join(classifiers)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
