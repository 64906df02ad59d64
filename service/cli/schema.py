"""`renrum schema`."""

from __future__ import annotations

import json
from typing import Any

import click

from alerts.duty.oncall_sections import OncallSection
from facility.facility_sections import FacilitySection
from facility.limits import COLUMNS, LEVELS
from facility.sections import Section, json_schema
from facility.site import GRADES, OCCUPANCIES, PLACE_TYPES
from facility.sources.source_file import SourcesSection
from rules.rule_sections import RulesSection
from service.rule_tests.files import RuleTestsSection
from service.settings.sections import RenrumSection

FILES: dict[str, type[Section]] = {
    "renrum": RenrumSection,
    "facility": FacilitySection,
    "rules": RulesSection,
    "oncall": OncallSection,
    "sources": SourcesSection,
    "rule-tests": RuleTestsSection,
}
NAMES = (*FILES, "limits")


@click.command()
@click.argument("name", type=click.Choice(NAMES))
def schema(name: str) -> None:
    """Print the JSON Schema of a configuration file: editors complete and check the file by it.

    For limits it is that of one row of limits.csv.

    \b
    Example:
      renrum schema facility > facility.schema.json
      # first line of facility.yaml, for editors with the YAML language server:
      # yaml-language-server: $schema=facility.schema.json
    """
    click.echo(json.dumps(schema_of(name), indent=2, ensure_ascii=False))


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of a configuration file, by its name without suffix."""
    if name == "limits":
        return _limits()
    return json_schema(FILES[name], f"{name}.yaml")


def _limits() -> dict[str, Any]:
    choices = {"type": PLACE_TYPES, "grade": GRADES, "occupancy": OCCUPANCIES, "level": LEVELS}
    properties: dict[str, Any] = {column: {"type": "string", "description": "Empty matches all."} for column in COLUMNS}
    properties |= {column: {"enum": ["", *values], "description": "Empty matches all."} for column, values in choices.items()}
    properties |= {side: {"type": ["number", "null"], "description": "In the point's unit."} for side in ("below", "above")}
    properties["basis"] = {"type": "string", "description": "Why; required of an action limit that is looser than annex1."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "limits.csv, one row",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
