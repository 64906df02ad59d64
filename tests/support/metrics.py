"""What /metrics, its documentation and the shipped alerts say, in one shape, so that they can be compared."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.support.prometheus import SHIPPED

DOCS = SHIPPED.parents[1] / "docs"
ALERTS = {rule["alert"]: rule for group in YAML().load(SHIPPED / "alerts.yml")["groups"] for rule in group["rules"]}
Families = dict[str, tuple[str, set[str]]]


def families(text: str) -> Families:
    """Type and labels of every family by its name as Prometheus stores it."""
    found: Families = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
    return found


def documented() -> Families:
    rows = [line.split("|")[1:4] for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith("| `")]
    return {
        name: (kind.strip(), {label.strip() for label in labels.split(",") if label.strip()})
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
