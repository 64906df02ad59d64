"""The kinds of events that a scenario may hold: what each acts on, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PLACE, POINT, SYSTEM = "place", "point", "system"
NAN = float("nan")
HOUR_NS = 3600 * 10**9
AIR = ("particles_0_5um", "particles_5_0um")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an event of one kind takes: the keys of which one names its targets, and its parameters with their defaults.

    Durations are in ns. `words` are parameters that are text; one whose default is empty must be given. `feels` are the quantities of
    points in the same place (pressures: also beside it) that show what happens.
    """

    text: str
    targets: tuple[str, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    feels: tuple[str, ...] = ()

    @property
    def on_instruments(self) -> bool:
        return POINT in self.targets and not self.feels


INSTRUMENT = (POINT, PLACE)

KINDS: Mapping[str, Kind] = {
    # The plant and the people
    "door_open": Kind(
        "A door stands open.", INSTRUMENT, feels=("door", "differential_pressure", "temperature", "relative_humidity", "co2"),
    ),
    "supply_loss": Kind(
        "`factor` of the supply air is left; `extract`, unless given, falls with it.", (PLACE, SYSTEM), {"factor": 0.0, "extract": NAN},
        feels=("differential_pressure", *AIR, "air_velocity", "temperature", "relative_humidity"),
    ),
    "leak": Kind("A hole of `area_m2` towards outside.", (PLACE,), {"area_m2": 0.05}, feels=("differential_pressure",)),
    "filter_leak": Kind("`share` of the air passes the terminal filter as it comes.", (PLACE,), {"share": 0.02}, feels=AIR),
    "intervention": Kind(
        "Work that sheds `particles_per_min` (≥ 0.5 µm), the share `large` of them ≥ 5 µm.", (PLACE,),
        {"particles_per_min": 300_000.0, "large": 0.0366}, feels=AIR,
    ),
    "people": Kind(
        "`count` people, with `activity` (0.3 still, 1 light, 3 brisk), in `clothes` (cleanroom, indoor).", (PLACE,),
        {"count": 1.0, "activity": 0.5}, {"clothes": "cleanroom"}, feels=AIR,
    ),
    "climate_loss": Kind("Cooling and humidity are not controlled.", (PLACE, SYSTEM), feels=("temperature", "relative_humidity")),
    "vapour": Kind(
        "Decontamination with vapour: `percent` more humidity and `degc` warmer.", (PLACE,), {"percent": 35.0, "degc": 1.5},
        feels=("relative_humidity", "temperature"),
    ),
    "occupancy": Kind(
        "The room is said to be in `state`, and when it ends `then` (its own).", (PLACE,), {}, {"state": "", "then": "own"}, AIR,
    ),
    "compressor_failure": Kind("Storage warms (an incubator cools) with the time constant `tau`.", (PLACE,), {"tau": 12.0 * HOUR_NS},
                               feels=("temperature",)),
    "gas_loss": Kind("An incubator gets no CO2.", (PLACE,), feels=("co2",)),
    "fill_failure": Kind(
        "A nitrogen vessel is not filled up, and boils off `boil_off` times as fast as usual (2 % a day).", (PLACE,), {"boil_off": 1.0},
        feels=("level", "temperature"),
    ),
    "nitrogen_leak": Kind("`m3_per_h` of nitrogen displace the air of the room.", (PLACE,), {"m3_per_h": 60.0}, feels=("oxygen",)),
    # Instruments and their way to us
    "dropout": Kind("Nothing is sent; the numbers go on counting.", INSTRUMENT),
    "fault": Kind("The instrument says itself that its readings are bad, and sends `value` if given.", INSTRUMENT, {"value": NAN}),
    "stuck": Kind("The last value is sent again and again.", INSTRUMENT),
    "drift": Kind("The value moves away by `per_hour`.", INSTRUMENT, {"per_hour": 0.5}),
    "spikes": Kind("`share` of the readings are off by `size`.", INSTRUMENT, {"size": 10.0, "share": 0.05}),
    "swap": Kind("Two points are exchanged: each sends what the other measures.", (POINT,), {}, {"with": ""}),
    "wrong_unit": Kind("The number is in `unit`, but nobody says so.", INSTRUMENT, {}, {"unit": ""}),
    "reboot": Kind("Nothing is sent; then the numbers begin at 0 again.", INSTRUMENT),
    "clock": Kind("The instrument's clock is ahead `by` (behind: -90s), and by `s_per_day` more each day.", INSTRUMENT,
                  {"by": 0.0, "s_per_day": 0.0}),
    "duplicate": Kind("Each reading is sent twice.", INSTRUMENT),
    "out_of_order": Kind("Each reading arrives late by up to `by`.", INSTRUMENT, {"by": 60.0 * 10**9}),
    "store_and_forward": Kind("Readings are kept, and sent all at once at the end.", INSTRUMENT),
    "garble": Kind("Payloads are corrupted: nobody can understand them.", INSTRUMENT),
    "tube_off": Kind("A counter counts nothing, a pressure transmitter shows about zero.", INSTRUMENT),
    "laser_fault": Kind("A counter counts nothing and says that it is faulty.", INSTRUMENT),
}  # fmt: skip

KindName = Literal[
    "door_open", "supply_loss", "leak", "filter_leak", "intervention", "people", "climate_loss", "vapour", "occupancy",
    "compressor_failure", "gas_loss", "fill_failure", "nitrogen_leak", "dropout", "fault", "stuck", "drift", "spikes", "swap",
    "wrong_unit", "reboot", "clock", "duplicate", "out_of_order", "store_and_forward", "garble", "tube_off", "laser_fault",
]  # fmt: skip
