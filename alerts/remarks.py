"""The record of an excursion: what people wrote to it, assessed and closed, signed over what they saw; and reviews of the audit trail.

Nothing is ever changed or taken away: a later assessment stands beside the earlier one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from alerts.alarms import Answer
from alerts.record.audit import AuditTrail
from alerts.record.signing import as_signed
from alerts.record.store import StateStore
from ingest.journal.entries import RecordBody
from ingest.journal.journal import Entry
from rules.excursion import CURRENT, Excursion

COMMENT, ASSESS, CLOSE, REOPEN, REVIEW = "comment", "assess", "close", "reopen", "review audit"
SIGNED = (ASSESS, CLOSE, REOPEN, REVIEW)
OPEN, NEW, ASSESSED, CLOSED = "open", "to be assessed", "assessed", "closed"
"""States of a record; `open` while the excursion lasts."""
WORDS = ("cause", "impact", "disposition", "deviation", "comment")
"""What an assessment says; the others say a comment only."""
ALLOWED = {COMMENT: (OPEN, NEW, ASSESSED, CLOSED), ASSESS: (NEW, ASSESSED), CLOSE: (ASSESSED,), REOPEN: (CLOSED,)}
"""Action -> the states in which it can be done. An excursion that lasts cannot be assessed: nobody has seen all of it."""
_AFTER = {ASSESS: ASSESSED, CLOSE: CLOSED, REOPEN: ASSESSED}
_SIGNED_COLUMNS = (
    "id", "revision", "rule", "point", "level", "zone", "room", "occupancy", "onset", "raised", "ended", "cleared", "peak", "limit",
    "unit", "readings", "late", "config",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remark:
    """One act on record: by whom, when (int ns UTC), the state after it; `digest` and `meaning` are empty where nothing was signed.

    `revision` is that of the excursion as it was seen.
    """

    entry: int
    at: int
    excursion: str
    actor: str
    action: str
    cause: str
    impact: str
    disposition: str
    deviation: str
    comment: str
    meaning: str
    digest: str
    revision: int
    state: str


_COLUMNS = ", ".join(field.name for field in fields(Remark))


def newest_signature(remarks: Sequence[Remark]) -> str:
    """The digest of the last of them that is signed, empty for none."""
    return next((remark.digest for remark in reversed(remarks) if remark.digest), "")


def signed_digest(excursion: Excursion, before: str, body: RecordBody) -> str:
    """SHA-256 (hex) over what is signed: the excursion as it is seen, the signature before, the act, its words and meaning, and who signs.

    So a closure stands under the assessment that it approves, and under no other.
    """
    seen = {name: getattr(excursion, name) for name in _SIGNED_COLUMNS}
    said = {"action": body.action, "by": body.by, "meaning": body.meaning, "words": body.words}
    return hashlib.sha256(
        json.dumps({"excursion": seen, "before": before, "said": said}, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def review_digest(seq: int, head: bytes, body: RecordBody) -> str:
    """SHA-256 (hex) over a review: the chain's hash at the last row that was looked at, the words, the meaning, and who signs."""
    said = {"action": body.action, "by": body.by, "meaning": body.meaning, "words": body.words, "row": seq, "head": head.hex()}
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Remarks:
    """The records in a state store; `act` is called within the step's transaction."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def of(self, excursion: str) -> list[Remark]:
        """All that is on record, the oldest first."""
        rows = self._store.rows(f"select {_COLUMNS} from remarks where excursion = ? order by entry", (excursion,))
        return [Remark(*row) for row in rows]

    def excursion(self, id: str) -> Excursion | None:
        """The excursion as it stands now; None for one that there is not, or that late readings showed never to have been."""
        rows = self._store.excursions("id = ? and status = ?", (id, CURRENT))
        return rows[0] if rows else None

    def state(self, excursion: Excursion) -> str:
        """The state of its record."""
        if excursion.open:
            return OPEN
        of_it = "select state from remarks where excursion = ? and state != ? order by entry desc limit 1"
        rows = self._store.rows(of_it, (excursion.id, OPEN))
        return rows[0][0] if rows else NEW

    def act(self, body: RecordBody, entry: Entry, audit: AuditTrail) -> Answer:
        """Put an act on record; of two at once the second hears that it came too late.

        The answer is accepted, unknown, already (its state does not allow it) or changed (the excursion is not what was signed).
        """
        if body.action == REVIEW:
            return self._review(body, entry, audit)
        excursion = self.excursion(body.target)
        if excursion is None or body.action not in ALLOWED:
            return Answer("unknown", body.target)
        state = self.state(excursion)
        if state not in ALLOWED[body.action]:
            last = next((one for one in reversed(self.of(excursion.id)) if one.action != COMMENT), None)
            return Answer("already", excursion.id, last.actor if last else "", last.at if last else None)
        if body.action in SIGNED and body.digest != signed_digest(excursion, newest_signature(self.of(excursion.id)), body):
            return Answer("changed", excursion.id)
        after = _AFTER.get(body.action, state)
        words = [body.words.get(name, "") for name in WORDS]
        row = (
            entry.seq, entry.at, excursion.id, body.by, body.action, *words, body.meaning, body.digest, excursion.revision, after,
        )  # fmt: skip
        self._store.execute(f"insert into remarks ({_COLUMNS}) values ({','.join('?' * len(row))})", row)
        said = "; ".join(f"{name}: {text}" for name, text in zip(WORDS, words, strict=True) if text)
        reason = as_signed(said, body.meaning, body.digest)
        audit.append(entry.at, body.by, body.action, f"excursion {excursion.id}", state, after, reason, entry.seq)
        return Answer("accepted", excursion.id, body.by, entry.at)

    def reviewed(self) -> tuple[int, str, int] | None:
        """Up to which audit row the trail was last reviewed, by whom and when; None when it never was."""
        rows = self._store.rows("select row, actor, at from reviews order by entry desc limit 1")
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def _review(self, body: RecordBody, entry: Entry, audit: AuditTrail) -> Answer:
        last = int(body.target)
        found = self._store.rows("select hash from audit where seq = ?", (last,))
        before = self.reviewed()
        if not found:
            return Answer("unknown", body.target)
        if before is not None and before[0] >= last:
            return Answer("already", body.target, before[1], before[2])
        if body.digest != review_digest(last, found[0][0], body):
            return Answer("changed", body.target)
        comment = body.words.get("comment", "")
        self._store.execute(
            "insert into reviews values (?,?,?,?,?,?,?)", (entry.seq, entry.at, last, body.by, comment, body.meaning, body.digest)
        )
        first = before[0] + 1 if before is not None else 1
        reason = as_signed(comment, body.meaning, body.digest)
        audit.append(entry.at, body.by, REVIEW, f"audit rows {first} to {last}", "", found[0][0].hex(), reason, entry.seq)
        return Answer("accepted", body.target, body.by, entry.at)
