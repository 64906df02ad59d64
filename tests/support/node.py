"""Node with the packages of tests/node, which only tests use: `npm ci` in that folder installs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "node"
NODE = shutil.which("node")
_missing = "node is not installed (apt install nodejs npm)" if NODE is None else "its packages are not installed (npm ci in tests/node)"
needs_node = pytest.mark.skipif(NODE is None or not (FOLDER / "node_modules").is_dir(), reason=f"no check by node: {_missing}")


def ask_node(script: str, question: object = None) -> Any:
    """What a script in tests/node answers, both as JSON."""
    assert NODE is not None
    asked = subprocess.run([NODE, FOLDER / script], input=json.dumps(question), capture_output=True, text=True, timeout=100, check=False)
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)
