"""A data_dir with everything in it that `verify` looks at, made by the real journal, intake, ledger and outbox."""

from __future__ import annotations

from pathlib import Path

from ingest.journal.entries import DELIVERY, LINK, SERVICE, DeliveryBody, LinkBody, ServiceBody, encode
from tests.support.archive_data import SECOND_NS, START, Installation


class Paging(Installation):
    """An installation that pages one target, `sink`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.note(SERVICE, ServiceBody("started", "0.1.0"))
        self.note(LINK, LinkBody("connected"))

    def note(self, kind: str, body: DeliveryBody | LinkBody | ServiceBody) -> None:
        self.journal.append(kind, encode(body), self.at, self.at - START)

    def deliver(self, alarm: str, *, ok: bool = True) -> None:
        detail, due = ("", 0) if ok else ("no answer", self.at + 5 * SECOND_NS)
        self.note(DELIVERY, DeliveryBody(self._page_of(alarm), "sink", 1 if not ok else 2, self.at, ok, False, detail, due))

    def _page_of(self, alarm: str) -> str:
        """The page that told of an alarm, its own or that of its group; of a group its first."""
        query = 'select page_id from outbox where alarm = coalesce((select "group" from alarms where id = ?), ?) order by id'
        found = self.store.rows(query, (alarm, alarm))
        return found[0][0] if found else f"{alarm}-raised"


def installation(folder: Path, *, rounds: int = 3) -> Paging:
    """Excursions, an acknowledgement, deliveries, late readings that revise, states, duplicates, quarantine; closed by the caller."""
    place = Paging(folder)
    place.occupancy("cp1", "at_rest", -3600)
    for round_ in range(rounds):
        begin = round_ * 60
        for second in range(begin, begin + 60, 2):
            place.read("cp1.dp1.dp", 15.0 if second - begin < 20 or second - begin > 40 else 5.25, second)
            if not 30 <= second - begin < 34:
                place.read("inc1.temp", 37.0 if second - begin < 30 else 39.0, second, seq=second)
            if second % 6 == 0:
                place.step()
        place.deliver(f"G{round_ + 1}", ok=False)
        place.step()
        place.deliver(f"G{round_ + 1}")
        place.acknowledge(f"A{round_ + 1}")
        place.step()
        place.read("inc1.temp", 39.5, begin + 33)  # late: the excursion began earlier
        place.read("inc1.temp", 37.0, begin)  # a duplicate
        place.read("inc1.temp", 38.0, begin)  # a conflict
        place.send("cp1/cp1.dp1.dp", b"\xff\x00", b'{"time": "yesterday", "value": 1}' + b" " * 9000)
        place.step()
        if round_ == 0:
            place.memory.write(all_of_it=True)
    place.occupancy("cp1", "in_operation", rounds * 60)
    place.step()
    return place
