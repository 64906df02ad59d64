"""Words and colours of the console, for dashboards."""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.console.pages import templates

_words = templates.get_template("words.html").module
LEVEL: Mapping[str, str] = _words.LEVEL  # type: ignore[attr-defined]
LIMIT: Mapping[str, str] = _words.LIMIT  # type: ignore[attr-defined]
OCCUPANCY: Mapping[str, str] = _words.OCCUPANCY  # type: ignore[attr-defined]
ALARM_STATE: Mapping[str, str] = _words.ALARM_STATE  # type: ignore[attr-defined]

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
    found: str = _words.QUANTITY.get(quantity, quantity.replace("_", " ").capitalize())  # type: ignore[attr-defined]
    return found
