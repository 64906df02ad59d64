"""The subject of a page: one SMS, in letters that every phone's SMS has."""

from __future__ import annotations

from alerts.pages.wording import GSM_ALPHABET, THIN_SPACE

_SPELLED = str.maketrans(
    {"≥": ">=", "≤": "<=", "µ": "u", "μ": "u", "³": "3", "²": "2", "−": "-", "–": "-", "’": "'", "…": "...", THIN_SPACE: " ", "\xa0": " "}
)


def spelled(text: str) -> str:
    """Text in the letters of an SMS where they have a common spelling: one letter that it lacks leaves room for 70 instead of 160.

    >>> spelled("Particles ≥ 0.5 µm 22 /m³, -68.3 °C")
    'Particles >= 0.5 um 22 /m3, -68.3 C'
    """
    return text.replace("°C", "C").replace("°F", "F").translate(_SPELLED)


def subject(head: str, middles: tuple[str, ...], tail: str) -> str:
    """The longest wording that is one SMS; what is cut when nothing fits is the last middle, then the end of the sentence."""
    head, tail, middles = spelled(head), spelled(tail), tuple(map(spelled, middles))
    for middle in middles:
        if fits(found := " ".join(part for part in (f"{head}:", middle, tail) if part)):
            return found
    middle = middles[-1]
    while middle and not fits(f"{head}: {middle}... {tail}"):
        middle = middle[:-1]
    found = f"{head}: {middle}... {tail}" if middle else f"{head}: {tail}"
    while not fits(found):
        found = found[:-4] + "..."
    return found


def fits(text: str) -> bool:
    """Whether it is one SMS: 160 characters of the GSM alphabet, else 70 (3GPP TS 23.038)."""
    return len(text) <= (160 if set(text) <= GSM_ALPHABET else 70)
