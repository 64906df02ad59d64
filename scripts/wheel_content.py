"""Compare a wheel with the checkout: every file of the packages is in it, and nothing else. Run from the checkout's root."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path


def main(wheel: str) -> int:
    with open("pyproject.toml", "rb") as file:
        packages = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *packages], check=True, capture_output=True, text=True
    ).stdout
    expected = {name for name in listed.splitlines() if Path(name).exists()}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    for name in sorted(expected - found):
        print(f"not in the wheel: {name}", file=sys.stderr)
    for name in sorted(found - expected):
        print(f"only in the wheel: {name}", file=sys.stderr)
    return int(found != expected)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
