"""Who may do what: one table, permission by role. Everything that asks for leave names a row of it."""

from __future__ import annotations

TABLE = """
permission      viewer  operator  supervisor  administrator   allows
read            yes     yes       yes         yes             rooms, points, readings, excursions, alarms, live events, metrics
audit           yes     yes       yes         yes             the audit trail
acknowledge     -       yes       yes         -               acknowledging alarms
shelve          -       yes       yes         -               shelving alarms for a while, and taking them off the shelf
reset           -       yes       yes         -               resetting alarms that are over and latched
occupancy       -       yes       yes         -               saying what goes on in a room: in operation, at rest, cleaning …
out_of_service  -       -         yes         -               taking points out of service, and back
comment         -       yes       yes         -               writing to the record of an excursion
assess          -       -         yes         -               assessing, closing and reopening excursions, signed
review_audit    -       -         yes         -               the periodic review of the audit trail, signed
swap            -       yes       yes         -               swapping the duty of a rotation, for oneself or for others
drill           -       -         yes         yes             sending a page that tests who is on call
readmit         -       -         yes         -               taking in again what lies in quarantine
apply           -       -         yes         yes             putting files in force, signed: facility, rules, limits, sources, on-call
review          -       -         yes         yes             the list of people and tokens, with their roles
administer      -       -         -           yes             people, their roles and passwords; tokens of programs
"""
"""The administrator decides who may do what and leaves the records to others, as regulators ask for."""

SHELVE, RESET, OCCUPANCY, OUT_OF_SERVICE = "shelve", "reset", "occupancy", "out_of_service"
READ, AUDIT, ACKNOWLEDGE, READMIT, APPLY = "read", "audit", "acknowledge", "readmit", "apply"
COMMENT, ASSESS, REVIEW_AUDIT = "comment", "assess", "review_audit"
SWAP, DRILL = "swap", "drill"
REVIEW, ADMINISTER = "review", "administer"
OPEN, KNOWN, PERSON = "open", "known", "person"
"""Beside the table: what needs no leave (signing in, health), what any session or token may, what only a person who is signed in may."""

_, *_ROWS = (line.split(maxsplit=5) for line in TABLE.strip().splitlines())
*_, ADMINISTRATOR = ROLES = tuple(TABLE.split()[1:5])
PERMISSIONS = {role: frozenset(row[0] for row in _ROWS if row[1 + column] == "yes") for column, role in enumerate(ROLES)}
"""Role -> its permissions."""


def may(role: str, permission: str) -> bool:
    """Whether a role has a permission; a name that the table does not know is never allowed.

    >>> may("operator", "acknowledge"), may("viewer", "acknowledge"), may("operator", "everything")
    (True, False, False)
    """
    return permission in PERMISSIONS.get(role, ())
