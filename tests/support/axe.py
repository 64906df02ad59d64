"""axe-core in a page of Chromium: what it finds that keeps people out."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.support.node import FOLDER

AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="no check by axe-core: it is not installed (npm ci in tests/node)")
GRAVE = ("serious", "critical")


def barriers(page: Page, colours_only: bool = False) -> list[str]:
    """Serious and critical violations of WCAG 2.2 A and AA; the context must bypass the content security policy."""
    page.evaluate(AXE.read_text("utf-8"))
    only = {"runOnly": ["color-contrast"]} if colours_only else {}
    found = page.evaluate("only => axe.run(document, {resultTypes: ['violations'], ...only})", only)
    return [
        f"{one['id']}: {node['html'][:160]} ({node['failureSummary'][:160]})"
        for one in found["violations"] if one["impact"] in GRAVE
        for node in one["nodes"]
    ]  # fmt: skip
