"""Sums and lives of sources as texts, as the state store keeps them."""

from __future__ import annotations

import json

from ingest.admission.intake import Sums
from ingest.lives import Lives


def sums_text(sums: Sums) -> str:
    readmitted = [dict(sums.readmitted)] if sums.readmitted else []
    return json.dumps([sums.received, sums.stored, sums.duplicates, dict(sums.quarantined), *readmitted])


def lives_text(lives: Lives) -> str:
    return json.dumps([lives.lost, lives])


def lives_from(text: str) -> Lives:
    lost, points = json.loads(text)
    lives = Lives(points)
    lives.lost = lost
    return lives


def sums_from(text: str) -> Sums:
    received, stored, duplicates, quarantined, *readmitted = json.loads(text)
    sums = Sums(received, stored, duplicates)
    sums.quarantined.update(quarantined)
    sums.readmitted.update(*readmitted)
    return sums
