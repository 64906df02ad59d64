"""`renrum manifest`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

import service
from facility.problems import ConfigurationError, so_many
from facility.times import format_time
from service.cli.lookups import data_dir_of
from service.cli.options import GIVEN_PATH, Refusal, configuration_path, json_option
from service.clock import SystemClock
from service.continuity.configuration_files import configuration_files
from service.continuity.inventory import Installed, Proof, bill_of_materials, configuration_files_of, installed, machine, own_files, prove
from service.doctor.installation import PACKAGES


@click.command()
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml whose folder is listed, too.")
@click.option("--sbom", is_flag=True, help="The bill of materials alone: CycloneDX 1.6 in JSON.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Into this file.")
@json_option
def manifest(config: Path | None, sbom: bool, out: Path | None, as_json: bool) -> None:
    """Say what is installed here, with hashes, and prove that our files are those of the wheel.

    Versions of Renrum, Python, the system and SQLite; every installed distribution with the hash of its record; each file of ours; the
    files of the configuration, those with secrets by name only.

    Exit code 0 when every file is as it was shipped; 1 when one was changed, is missing, or is not of the wheel, or when there is no wheel
    to compare with.

    \b
    Examples:
      renrum manifest
      renrum manifest --json --out manifest.json
      renrum manifest --sbom --out renrum.cdx.json
    """
    found, at = installed(), SystemClock().now_ns()
    if sbom:
        _write(json.dumps(bill_of_materials(found, format_time(at - at % 10**9)), indent=1, ensure_ascii=False), out)
        return
    proof = prove(packages=PACKAGES)
    folder, hashes, secrets = _configuration(config)
    if as_json:
        _write(json.dumps(_document(found, proof, folder, hashes, secrets, at), indent=1, ensure_ascii=False), out)
    else:
        _write("\n".join(_lines(found, proof, folder, hashes, secrets)), out)
    sys.exit(0 if proof.ok else 1)


def _configuration(config: Path | None) -> tuple[Path | None, dict[str, str], list[str]]:
    """Its folder, the hashes of its files, the names of those that are secret."""
    try:
        path = configuration_path(config, os.environ)
        folder = path.absolute().parent
        plain, secrets = configuration_files(folder, data_dir_of(path))
        return folder, configuration_files_of(folder, plain), [str(file.relative_to(folder)) for file in secrets]
    except ConfigurationError:
        if config is not None:
            raise
        return None, {}, []
    except OSError as error:
        raise Refusal(f"{error.filename}: {error.strerror}. Run this as the service's user.") from None


def _document(
    found: list[Installed], proof: Proof, folder: Path | None, hashes: dict[str, str], secrets: list[str], at: int
) -> dict[str, object]:
    home = Path(service.__file__ or "").resolve().parent.parent
    return {
        "written": format_time(at),
        "renrum": _own_version(found),
        "machine": machine(),
        "installation": {"ok": proof.ok, "checked": proof.checked, "wrong": list(proof.wrong), "why_not": proof.why_not},
        "distributions": [
            {"name": entry.name, "version": entry.version, "record_sha256": entry.record, "licence": entry.licence} for entry in found
        ],
        "files": own_files(PACKAGES, home),
        "configuration": {"folder": str(folder) if folder else "", "files": hashes, "secrets": secrets},
    }


def _lines(found: list[Installed], proof: Proof, folder: Path | None, hashes: dict[str, str], secrets: list[str]) -> list[str]:
    lines = [f"renrum {_own_version(found)}", *(f"{name}: {version}" for name, version in machine().items())]
    if proof.why_not:
        lines.append(f"installation: not proven: {proof.why_not}")
    elif proof.wrong:
        lines += [
            f"installation: WRONG in {len(proof.wrong)} of {so_many(proof.checked, 'file')}",
            *(f"  {words}" for words in proof.wrong),
        ]
        lines.append("  Do: install that version's wheel again, and find out who or what changed it.")
    else:
        lines.append(f"installation: ok: {so_many(proof.checked, 'file')} as in the wheel")
    lines += [f"{entry.name} {entry.version} {entry.record[:16]}" for entry in found]
    if folder is not None:
        lines.append(f"configuration in {folder}:")
        lines += [f"  {name} {digest[:16]}" for name, digest in hashes.items()]
        lines += [f"  {name} (secret)" for name in secrets]
    return lines


def _own_version(found: list[Installed]) -> str:
    return next((entry.version for entry in found if entry.name == "renrum"), "not installed")


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text)
        return
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Refusal(f"--out: {out}: {error.strerror}.") from None
