"""Words and colours of the console, for dashboards."""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.console.words import DEFAULT, catalogue

_words = catalogue(DEFAULT)
LEVEL: Mapping[str, str] = _words.group("level")
LIMIT: Mapping[str, str] = _words.group("limit")
OCCUPANCY: Mapping[str, str] = _words.group("occupancy")
ALARM_STATE: Mapping[str, str] = _words.group("alarm_state")

ACTION, ALERT, TECHNICAL, UNSURE, GOOD, LINE = "#a81d17", "#8a5300", "#51459b", "#41586c", "#1e6b43", "#17578c"
"""--action, --alert, --technical, --unsure, --good, --link of console.css in its light form, which stands out from both themes."""
LEVEL_COLOURS = {"action": ACTION, "alert": ALERT, "technical": TECHNICAL}
OCCUPANCY_COLOURS = {"in_operation": LINE, "at_rest": GOOD, "cleaning": TECHNICAL, "maintenance": ALERT, "shutdown": UNSURE}
DOOR = {"0": ("Closed", GOOD), "1": ("Open", ALERT)}


def quantity_text(quantity: str) -> str:
    """What people call a quantity.

    >>> quantity_text("relative_humidity"), quantity_text("flow_rate")
    ('Relative humidity', 'Flow rate')
    """
    return _words.texts.get(f"quantity.{quantity}", quantity.replace("_", " ").capitalize())
