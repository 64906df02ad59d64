"""Those who are shown, at every moment, which alarms stand: nobody who gets pages, so that what was missed is shown later all the same."""

from __future__ import annotations

from alerts.signals.alertmanager import Alertmanager
from alerts.signals.beacon import Beacon
from alerts.signals.deadman import Deadman
from alerts.signals.standing import Signal, Standing

__all__ = ["Alertmanager", "Beacon", "Deadman", "Signal", "Standing"]
