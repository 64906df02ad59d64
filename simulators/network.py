"""Rooms joined by leaks: which pressures balance the air that enters and leaves, for many moments at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

LEAK_M3_S = 0.827
"""m3/s through 1 m2 at 1 Pa: Cd * sqrt(2 / rho) with Cd 0.64, rho 1.2 kg/m3."""
LAMINAR_PA = 0.05
"""Below this the flow is taken as linear, so that its slope stays finite."""
TOLERANCE_M3_S = 1e-7
ROUNDS_MAX = 60
HALVINGS_MAX = 20


def leak_flow(dp_pa: Floats, area_m2: Floats) -> Floats:
    """Air through a crack, m3/s: `Cd * A * sqrt(2 dP / rho)`, with the sign of `dp_pa`."""
    return LEAK_M3_S * area_m2 * dp_pa / (dp_pa * dp_pa + LAMINAR_PA**2) ** 0.25


def _flow_and_slope(dp_pa: Floats, area_m2: Floats) -> tuple[Floats, Floats]:
    square = dp_pa * dp_pa + LAMINAR_PA**2
    conductance = LEAK_M3_S * area_m2 / np.sqrt(np.sqrt(square))
    return conductance * dp_pa, conductance * (1 - 0.5 * dp_pa * dp_pa / square)


class Network:
    """Nodes joined by leaks from `here` to `there`; the node `nodes` is outside, at 0 Pa. Each pair of nodes has one leak at most."""

    def __init__(self, here: Indices, there: Indices, nodes: int) -> None:
        self.here, self.there, self.nodes = here, there, nodes
        self._leaks = [(int(a), int(b)) for a, b in zip(here, there, strict=True)]
        self._inner = [(leak, a, b) for leak, (a, b) in enumerate(self._leaks) if nodes not in (a, b)]
        self._plan, self._edges = _elimination([(a, b) for _, a, b in self._inner], nodes)

    def flows(self, pressure_pa: Floats, area_m2: Floats) -> Floats:
        """m3/s of each leak [rows, leaks], from `here` to `there`; `pressure_pa` is [rows, nodes]."""
        full = np.column_stack([pressure_pa, np.zeros(len(pressure_pa))])
        return leak_flow(full[:, self.here] - full[:, self.there], area_m2)

    def outflow(self, flow_m3_s: Floats) -> Floats:
        """m3/s that leave each node [rows, nodes] through its leaks."""
        out = np.zeros((len(flow_m3_s), self.nodes + 1))
        for leak, (a, b) in enumerate(self._leaks):
            out[:, a] += flow_m3_s[:, leak]
            out[:, b] -= flow_m3_s[:, leak]
        return out[:, : self.nodes]

    def solve(self, supply_m3_s: Floats, area_m2: Floats, start_pa: Floats) -> Floats:
        """The pressures [rows, nodes] at which what each node is supplied with leaks out of it.

        Damped Newton, for all rows at once; the linear systems are solved by an elimination that is planned once, each operation of it
        over all rows. A room follows its air flow within half a second, so a state per second is enough.
        """
        # Inside, rows are the last axis: each node's and each leak's numbers lie together.
        rows = len(supply_m3_s)
        supply, area = supply_m3_s.T, area_m2.T
        pressure = np.array(np.broadcast_to(start_pa, (rows, self.nodes)).T, order="C")
        gained, slope = self._balance(pressure, supply, area)
        active = np.arange(rows)
        now = pressure
        for _ in range(ROUNDS_MAX):
            open_ = np.abs(gained).max(axis=0, initial=0.0) > TOLERANCE_M3_S
            if not open_.any():
                break
            if not open_.all():
                active, now, gained, slope = active[open_], now[:, open_], gained[:, open_], slope[:, open_]
                supply, area = supply[:, open_], area[:, open_]
            now, gained, slope = self._searched(now, gained, slope, supply, area)
            pressure[:, active] = now
        return pressure.T

    def _searched(self, pressure: Floats, gained: Floats, slope: Floats, supply: Floats, area: Floats) -> tuple[Floats, Floats, Floats]:
        """A Newton step. Alone it swings from P to -P about the cusp at zero: each row's is halved until it is worth its length."""
        step = self._eliminated(slope, gained)
        error = (gained * gained).sum(axis=0)
        trial = pressure + step
        left, slope = self._balance(trial, supply, area)
        scale = np.ones(len(error))
        for _ in range(HALVINGS_MAX):
            worse = np.flatnonzero((left * left).sum(axis=0) > (1 - scale / 2) * error)
            if not len(worse):
                break
            scale[worse] /= 2
            trial[:, worse] = pressure[:, worse] + scale[worse] * step[:, worse]
            left[:, worse], slope[:, worse] = self._balance(trial[:, worse], supply[:, worse], area[:, worse])
        return trial, left, slope

    def _balance(self, pressure: Floats, supply: Floats, area: Floats) -> tuple[Floats, Floats]:
        """m3/s that each node gains, and how much more flows through each leak for a Pa more."""
        full = np.vstack([pressure, np.zeros(pressure.shape[1])])
        flow, slope = _flow_and_slope(full[self.here] - full[self.there], area)
        gained = np.vstack([supply, np.zeros(supply.shape[1])])
        for leak, (a, b) in enumerate(self._leaks):
            gained[a] -= flow[leak]
            gained[b] += flow[leak]
        return gained[: self.nodes], slope

    def _eliminated(self, slope: Floats, right: Floats) -> Floats:
        """The change of the pressures that, by the slopes, brings the nodes what is on the right."""
        right = right.copy()
        diagonal = np.zeros((self.nodes + 1, slope.shape[1]))
        edge = np.zeros((self._edges, slope.shape[1]))
        for leak, (a, b) in enumerate(self._leaks):
            diagonal[a] += slope[leak]
            diagonal[b] += slope[leak]
        for number, (leak, _, _) in enumerate(self._inner):
            edge[number] = -slope[leak]
        for node, joined, filled in self._plan:
            inverse = np.divide(1.0, diagonal[node], out=diagonal[node])
            for other, own in joined:
                share = edge[own] * inverse
                right[other] -= share * right[node]
                diagonal[other] -= share * edge[own]
            for target, first, second in filled:
                edge[target] -= edge[first] * inverse * edge[second]
        for node, joined, _ in reversed(self._plan):
            for other, own in joined:
                right[node] -= edge[own] * right[other]
            right[node] *= diagonal[node]
        return right


Elimination = list[tuple[int, list[tuple[int, int]], list[tuple[int, int, int]]]]


def _elimination(pairs: list[tuple[int, int]], nodes: int) -> tuple[Elimination, int]:
    """In which order to eliminate the nodes of a symmetric matrix, the one with the fewest neighbours first, and what that fills in.

    For each node: (neighbour, edge) of those that are left, and (edge, edge, edge) for each pair of them. Also the number of edges.
    """
    edges = {frozenset(pair): number for number, pair in enumerate(pairs)}
    joined: dict[int, set[int]] = {node: set() for node in range(nodes)}
    for a, b in pairs:
        joined[a].add(b)
        joined[b].add(a)
    plan: Elimination = []
    while joined:
        node = min(joined, key=lambda one: (len(joined[one]), one))
        others = sorted(joined.pop(node))
        filled = []
        for position, a in enumerate(others):
            joined[a].discard(node)
            for b in others[position + 1 :]:
                target = edges.setdefault(frozenset((a, b)), len(edges))
                filled.append((target, edges[frozenset((node, a))], edges[frozenset((node, b))]))
                joined[a].add(b)
                joined[b].add(a)
        plan.append((node, [(other, edges[frozenset((node, other))]) for other in others], filled))
    return plan, len(edges)
