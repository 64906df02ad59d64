"""`renrum manifest`: what is installed, whether it is what was shipped, and the bill of materials."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from service.continuity.inventory import bill_of_materials, installed, normal, prove
from tests.support.archive_data import example_configuration
from tests.support.continuity import command


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution `shipment` with a package `cargo`, installed as pip does it."""
    files = {
        "cargo/__init__.py": b"",
        "cargo/engine.py": b"RUN = 1\n",
        "shipment-1.2.dist-info/METADATA": b"Name: shipment\nVersion: 1.2\n",
    }
    lines = []
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    lines += ["cargo/__pycache__/engine.cpython-311.pyc,,", "shipment-1.2.dist-info/RECORD,,"]
    (tmp_path / "shipment-1.2.dist-info" / "RECORD").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_an_installation_as_it_was_shipped(shipped: Path) -> None:
    (shipped / "cargo" / "__pycache__").mkdir()
    (shipped / "cargo" / "__pycache__" / "engine.cpython-312.pyc").touch()
    proof = prove("shipment", ("cargo",))
    assert (proof.ok, proof.checked) == (True, 3)


def test_what_was_changed_is_named(shipped: Path) -> None:
    (shipped / "cargo" / "engine.py").write_bytes(b"RUN = 2\n")
    (shipped / "cargo" / "__init__.py").unlink()
    (shipped / "cargo" / "more.py").touch()
    proof = prove("shipment", ("cargo",))
    assert not proof.ok
    assert [words.partition(": ")[::2] for words in proof.wrong] == [
        ("cargo/__init__.py", "missing (No such file or directory)"),
        ("cargo/engine.py", "changed"),
        ("cargo/more.py", "not of the wheel"),
    ]


def test_what_cannot_be_proven_is_not_said_to_be_well(shipped: Path) -> None:
    assert "not installed" in prove("no-such-thing").why_not
    assert "editable" in prove("shipment", ("elsewhere",)).why_not
    assert not prove("no-such-thing").ok


def test_the_bill_of_materials(shipped: Path) -> None:
    """The rules of CycloneDX 1.6 that a reader relies on; the whole schema was held against it once."""
    found = installed()
    bill = json.loads(json.dumps(bill_of_materials(found, "2026-11-21T07:00:00Z")))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", bill["serialNumber"])
    components = [*bill["components"], *([bill["metadata"]["component"]] if "component" in bill["metadata"] else [])]
    refs = [component["bom-ref"] for component in components]
    assert len(refs) == len(set(refs)) == len(found)
    assert all(component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}" for component in components)
    assert {entry["ref"] for entry in bill["dependencies"]} == set(refs)
    assert all(set(entry["dependsOn"]) <= set(refs) for entry in bill["dependencies"])
    numpy = next(component for component in components if component["name"] == "numpy")
    assert (numpy["version"], numpy["type"], bool(numpy["licenses"])) == (version("numpy"), "library", True)
    assert bill_of_materials(found, "")["serialNumber"] == bill["serialNumber"]
    assert bill_of_materials(found[1:], "")["serialNumber"] != bill["serialNumber"]


def test_the_command(tmp_path: Path) -> None:
    example_configuration(tmp_path / "site")
    (tmp_path / "site" / "secrets").mkdir()
    (tmp_path / "site" / "secrets" / "mqtt").write_text("hunter2")
    out = tmp_path / "manifest.json"
    done = command("manifest", "--json", "--config", tmp_path / "site" / "renrum.yaml", "--out", out)
    document = json.loads(out.read_text())
    assert done.exit_code == (0 if document["installation"]["ok"] else 1)
    assert document["configuration"]["secrets"] == ["secrets/mqtt"]
    rules = (tmp_path / "site" / "rules.yaml").read_bytes()
    assert document["configuration"]["files"]["rules.yaml"] == hashlib.sha256(rules).hexdigest()
    assert "service/continuity/inventory.py" in document["files"]
    assert "hunter2" not in out.read_text()
    assert {entry["name"] for entry in document["distributions"]} >= {"numpy", "click"}
    assert json.loads(command("manifest", "--sbom").output)["bomFormat"] == "CycloneDX"
    assert command("manifest", "--config", tmp_path / "none.yaml").exit_code == 2


def test_names_as_the_index_has_them() -> None:
    assert [normal(name) for name in ("Jinja2", "ruamel.yaml", "influxdb_client", "a--b")] == [
        "jinja2", "ruamel-yaml", "influxdb-client", "a-b",
    ]  # fmt: skip
