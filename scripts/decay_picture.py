"""Writes docs/particle-decay.svg: recorded decays of particles and simulated smoke tests; `python -m scripts.decay_picture`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators.recovery import fit_recovery
from tests.support.decays import recorded, simulated

FILE = Path(__file__).parent.parent / "docs" / "particle-decay.svg"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 460, 70, 20, 250, 50
SECONDS, DECADES = 320.0, 2.6
Floats = NDArray[np.float64]


def x_of(seconds: float) -> float:
    """Pixels of a time after the tenth of the peak."""
    return LEFT + (seconds + 60) / (SECONDS + 60) * (WIDTH - LEFT - RIGHT)


def y_of(decade: float) -> float:
    """Pixels of the logarithm of the share of the peak."""
    return TOP - decade / DECADES * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    """A label."""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{words}</text>'


def inside(time: Floats, share: Floats) -> list[tuple[float, float]]:
    """The points of a course that lie in the picture."""
    logs = np.log10(np.maximum(share, 1e-9))
    return [(t, y) for t, y in zip(time.tolist(), logs.tolist(), strict=True) if -60 <= t <= SECONDS and -DECADES <= y <= 0]


def picture() -> str:
    """The drawing: dots are recorded, lines simulated with the fitted rate; each from the moment at a tenth of its peak."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']  # fmt: skip
    for decade, label in ((0, "1"), (-1, "1/10"), (-2, "1/100")):
        parts.append(
            f'<path d="M{LEFT} {y_of(decade):.1f}H{WIDTH - RIGHT}" stroke="#ccc"/>' + text(LEFT - 8, y_of(decade) + 4, label, "end")
        )
    for second in range(-60, int(SECONDS) + 1, 60):
        parts.append(f'<path d="M{x_of(second):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(text(x_of(second), HEIGHT - BOTTOM + 18, str(second), "middle"))
    parts.append(
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "seconds after a tenth of the peak; particles ≥ 0.5 µm, share of the peak", "middle")
    )
    runs = [(run, course) for run, course in recorded().items() if run != "no cleaner"]
    for row, ((run, (time, per_m3)), colour) in enumerate(zip(runs, COLOURS, strict=True)):
        real = fit_recovery(time, per_m3)
        made_time, made_per_m3 = simulated(real.per_s, 10, 1800)
        made = fit_recovery(made_time, made_per_m3)
        line = inside(made_time - made.begin_s, made_per_m3 / made_per_m3.max())
        parts.append(f'<path fill="none" stroke="{colour}" d="M' + "L".join(f"{x_of(t):.1f} {y_of(y):.1f}" for t, y in line) + '"/>')
        dots = inside(time - real.begin_s, per_m3 / per_m3.max())
        parts += [f'<circle cx="{x_of(t):.1f}" cy="{y_of(y):.1f}" r="2.6" fill="{colour}"/>' for t, y in dots]
        y = TOP + 20 + 44 * row
        parts.append(f'<circle cx="{WIDTH - RIGHT + 22}" cy="{y - 4}" r="4" fill="{colour}"/>' + text(WIDTH - RIGHT + 34, y, run))
        rates = f"{real.per_s * 3600:.1f}/h recorded, {made.per_s * 3600:.1f}/h simulated"
        parts.append(text(WIDTH - RIGHT + 34, y + 17, rates))
    parts.append(text(WIDTH - RIGHT + 16, HEIGHT - BOTTOM - 24, "dots: recorded (analyze_cadr,"))
    parts.append(text(WIDTH - RIGHT + 16, HEIGHT - BOTTOM - 7, "© 2022 robwiss, MIT); lines: simulated"))
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    FILE.write_text(picture(), "utf-8")
