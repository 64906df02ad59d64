"""The words of a page in one table for each language, and how numbers and spans of time are written in it."""

from __future__ import annotations

import math

WORDS = {
    "en": {
        "action": "ACTION",
        "alert": "ALERT",
        "technical": "TECHNICAL",
        "test": "TEST",
        "service": "SERVICE",
        "returned": "OVER",
        "over_waits": "OVER, not acknowledged",
        "reminder": "REMINDER {}: ",
        "told_before": "{}; first at {}; not acknowledged yet",
        "everyone": "everyone",
        "found_late": " FOUND LATE",
        "level_action": "action",
        "level_alert": "alert",
        "level_technical": "technical",
        "critical": "critical",
        "high": "high",
        "medium": "medium",
        "low": "low",
        "priority": "priority",
        "grade": "grade",
        "above": "above",
        "below": "below",
        "at_or_above": "at or above",
        "at_or_below": "at or below",
        "the_limit": "the limit",
        "stale": "silent since",
        "quality": "bad readings since",
        "clock_ahead": "readings from the future since",
        "our_clock": "our own clock is behind most instruments,",
        "state": "for longer than it may, since",
        "rate": "changing too fast since",
        "flatline": "not moving since",
        "door_open": "open since",
        "out": "out of order since",
        "over": "over since",
        "over_after": "over after",
        "late_explained": "readings that arrived late show it; nobody could be told earlier",
        "returned_do": "Nothing more is needed for the moment: it is over and acknowledged. Whoever did that looks into the cause.",
        "over_do": "It is over, and still has to be acknowledged: open the link.",
        "over_did": " What to do while it lasted: {}",
        "trend": "Trend from {0} to {1}: between {2} and {3} {6}, at last {4} {6}; limit {5} {6}",
        "daily": "Daily message: {} alarms stand",
        "daily_one": "Daily message: {} alarm stands",
        "daily_do": "Keep this message: it proves later that nothing before these entries was changed or removed.",
        "none": "none",
        "never": "never",
        "unacknowledged": "unacknowledged",
        "acknowledged": "acknowledged",
        "over_unacknowledged": "over, unacknowledged",
        "latched_unacknowledged": "latched, unacknowledged",
        "latched_acknowledged": "latched, acknowledged",
        "shelved": "shelved",
        "suppressed": "suppressed",
        "out_of_service": "out of service",
        "line_journal": "Journal",
        "line_trail": "Audit trail",
        "line_alarms": "Alarms",
        "line_out": "Out of service",
        "line_verified": "Last verify without a fault",
        "entry": "entry {}, {}",
        "row": "row {}, {}",
        "reply_taken": "{} is acknowledged by {}",
        "reply_taken_do": "Your reply was heard: nobody after you is told.",
        "reply_refused": "Your reply to {} was refused: {}",
        "reply_refused_do": "The alarm still has to be acknowledged: by the link, or reply to its page with your PIN as the first word.",
        "test_do": "Nothing is wrong. You can be reached here: no need to answer.",
        "service_do": "Look after the machine that Renrum runs on; `renrum doctor` there says more.",
        "drill": "Acknowledge this test by {}",
        "drill_do": "Nothing is wrong. Open the link and acknowledge test {}.",
        "drill_missed": "Nobody acknowledged the on-call test of {} in time",
        "drill_missed_do": "Find out why it reached nobody: who is on duty, their phones, the channels. Then acknowledge test {}.",
        "d": "d",
        "h": "h",
        "min": "min",
        "s": "s",
        "particles_0_5um": "particles 0.5 um",
        "particles_5_0um": "particles 5.0 um",
        "temperature": "temperature",
        "relative_humidity": "relative humidity",
        "differential_pressure": "differential pressure",
        "air_velocity": "air velocity",
        "co2": "co2",
        "oxygen": "oxygen",
        "level": "level",
        "door": "door",
        "in_operation": "in operation",
        "at_rest": "at rest",
        "cleaning": "cleaning",
        "shutdown": "shutdown",
        "maintenance": "maintenance",
        "line_environment": "Environment",
        "line_status": "Status",
        "line_told": "Told before",
        "line_level": "Level",
        "line_what": "What",
        "line_where": "Where",
        "line_worst": "Worst value",
        "line_limit": "Limit",
        "line_out_of_order": "State",
        "line_began": "Alarm since",
        "line_since": "Since",
        "line_lasted": "For",
        "line_late": "Late",
        "line_rule": "Rule",
        "line_at": "Time",
        "line_do": "Do",
        "line_sop": "Procedure",
        "line_link": "Open",
    },
    "sv": {
        "action": "ÅTGÄRD",
        "alert": "VARNING",
        "technical": "TEKNISKT",
        "test": "PROV",
        "service": "DRIFT",
        "returned": "UPPHÖRT",
        "over_waits": "UPPHÖRT, ej kvitterat",
        "reminder": "PÅMINNELSE {}: ",
        "told_before": "{}; först {}; ännu inte kvitterat",
        "everyone": "alla",
        "found_late": " FUNNET SENT",
        "level_action": "åtgärd",
        "level_alert": "varning",
        "level_technical": "tekniskt",
        "critical": "kritisk",
        "high": "hög",
        "medium": "medel",
        "low": "låg",
        "priority": "prioritet",
        "grade": "klass",
        "above": "över",
        "below": "under",
        "at_or_above": "på eller över",
        "at_or_below": "på eller under",
        "the_limit": "gränsen",
        "stale": "tyst sedan",
        "quality": "dåliga mätvärden sedan",
        "clock_ahead": "mätvärden från framtiden sedan",
        "our_clock": "vår egen klocka går efter de flesta instrument,",
        "state": "längre än tillåtet, sedan",
        "rate": "ändras för fort sedan",
        "flatline": "rör sig inte sedan",
        "door_open": "öppen sedan",
        "out": "i olag sedan",
        "over": "upphörde",
        "over_after": "upphörde efter",
        "late_explained": "mätvärden som kom sent visar det; ingen kunde få veta tidigare",
        "returned_do": "Inget mer behövs just nu: det har upphört och är kvitterat. Den som kvitterade söker orsaken.",
        "over_do": "Det har upphört, men måste fortfarande kvitteras: öppna länken.",
        "over_did": " Att göra medan det varade: {}",
        "trend": "Trend från {0} till {1}: mellan {2} och {3} {6}, sist {4} {6}; gräns {5} {6}",
        "daily": "Dagligt meddelande: {} larm står",
        "daily_one": "Dagligt meddelande: {} larm står",
        "daily_do": "Behåll meddelandet: det visar senare att inget före dessa poster har ändrats eller tagits bort.",
        "none": "inga",
        "never": "aldrig",
        "unacknowledged": "okvitterade",
        "acknowledged": "kvitterade",
        "over_unacknowledged": "upphörda, okvitterade",
        "latched_unacknowledged": "låsta, okvitterade",
        "latched_acknowledged": "låsta, kvitterade",
        "shelved": "undanlagda",
        "suppressed": "undertryckta",
        "out_of_service": "ur drift",
        "line_journal": "Journal",
        "line_trail": "Händelselogg",
        "line_alarms": "Larm",
        "line_out": "Ur drift",
        "line_verified": "Senaste verify utan fel",
        "entry": "post {}, {}",
        "row": "rad {}, {}",
        "reply_taken": "{} är kvitterat av {}",
        "reply_taken_do": "Ditt svar togs emot: ingen efter dig larmas.",
        "reply_refused": "Ditt svar på {} togs inte emot: {}",
        "reply_refused_do": "Larmet måste fortfarande kvitteras: med länken, eller svara på larmet med din PIN som första ord.",
        "test_do": "Inget är fel. Du kan nås här: svar behövs inte.",
        "service_do": "Se till maskinen som Renrum körs på; `renrum doctor` där säger mer.",
        "drill": "Kvittera detta prov senast {}",
        "drill_do": "Inget är fel. Öppna länken och kvittera prov {}.",
        "drill_missed": "Ingen kvitterade jourprovet {} i tid",
        "drill_missed_do": "Ta reda på varför det inte nådde någon: vem som har jour, telefoner, kanaler. Kvittera sedan prov {}.",
        "d": "d",
        "h": "tim",
        "min": "min",
        "s": "s",
        "particles_0_5um": "partiklar 0,5 um",
        "particles_5_0um": "partiklar 5,0 um",
        "temperature": "temperatur",
        "relative_humidity": "relativ fuktighet",
        "differential_pressure": "differenstryck",
        "air_velocity": "lufthastighet",
        "co2": "koldioxid",
        "oxygen": "syre",
        "level": "nivå",
        "door": "dörr",
        "in_operation": "i drift",
        "at_rest": "i vila",
        "cleaning": "städning",
        "shutdown": "avstängt",
        "maintenance": "underhåll",
        "line_environment": "Miljö",
        "line_status": "Status",
        "line_told": "Har larmats",
        "line_level": "Nivå",
        "line_what": "Vad",
        "line_where": "Var",
        "line_worst": "Sämsta värde",
        "line_limit": "Gräns",
        "line_out_of_order": "Läge",
        "line_began": "Larm sedan",
        "line_since": "Sedan",
        "line_lasted": "Varaktighet",
        "line_late": "Sent",
        "line_rule": "Regel",
        "line_at": "Tid",
        "line_do": "Gör",
        "line_sop": "Rutin",
        "line_link": "Öppna",
    },
}
"""By language; both have the same keys. Texts with {} take one name or time."""
ENGLISH = "en"

GSM_ALPHABET = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)  # fmt: skip
"""What an SMS of 160 characters may hold (3GPP TS 23.038, without the extension table, whose characters count twice)."""


def words_of(language: str) -> dict[str, str]:
    """The words of a language; English for one that is not known."""
    return WORDS.get(language, WORDS[ENGLISH])


def spoken(word: str, words: dict[str, str]) -> str:
    """A quantity or an occupancy in a language; the site's own as it is called there."""
    return words.get(word) or word.replace("_", " ")


def in_language(number: str, language: str) -> str:
    """A number as text, with the decimal sign of the language.

    >>> in_language("9.96", "sv")
    '9,96'
    """
    return number.replace(".", ",") if language == "sv" else number


THIN_SPACE = "\u202f"


def written(number: str, language: str) -> str:
    """A number as text, as people write it: thousands apart, and the decimal sign of the language.

    >>> written("3520000", "en"), written("-1271.5", "sv")
    ('3\\u202f520\\u202f000', '-1\\u202f271,5')
    """
    whole, point, rest = number.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    apart = f"{int(digits):,}".replace(",", THIN_SPACE) if digits.isdecimal() else digits
    return in_language(f"{sign}{apart}{point}{rest}", language)


UNITS = {"degC": "°C", "degF": "°F", "1/m3": "/m³", "1/L": "/L", "1/ft3": "/ft³", "m3/h": "m³/h", "m3/s": "m³/s", "um": "µm", "1": ""}


def unit_text(unit: str) -> str:
    """A unit as people write it; a subject spells it (alerts/pages/sms.py).

    >>> unit_text("1/m3"), unit_text("Pa")
    ('/m³', 'Pa')
    """
    return UNITS.get(unit, unit)


def clean(text: str) -> str:
    """One printable line: names come from files, and a subject is a mail header."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def distinct(value: float, limit: float | None, resolution: float | None = None) -> tuple[str, str]:
    """A value and its limit as text: the value with as many decimals as tell it from the limit, never rounded onto it or past it.

    >>> distinct(9.96, 10.0, 0.1)
    ('9.96', '10')
    >>> distinct(25.342, 25.0)
    ('25.3', '25')
    """
    least = _decimals(resolution) if resolution else 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 3
    shown = number(value)
    for decimals in range(least, 17):
        rounded = f"{value:.{decimals}f}"
        if limit is None or _side(float(rounded), limit) == _side(value, limit):
            shown = min(rounded, shown, key=len)
            break
    return shown, "" if limit is None else number(limit)


def number(value: float) -> str:
    """The shortest text that reads back as the same float; whole numbers without a point."""
    return str(int(value)) if value == math.floor(value) and abs(value) < 1e15 else repr(float(value))


def span(ns: int, words: dict[str, str] | None = None) -> str:
    """A span of time in its two largest units.

    >>> span(320 * 10**9)
    '5 min 20 s'
    """
    words = words or WORDS[ENGLISH]
    seconds = max(ns, 0) // 10**9
    for size, name, smaller, small_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {words[name]}" + (f" {rest} {words[small_name]}" if rest else "")
    return f"{seconds} {words['s']}"


def _decimals(resolution: float) -> int:
    return max(0, -math.floor(math.log10(resolution) + 1e-9))


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)
