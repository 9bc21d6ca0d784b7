"""GD on the scalar problem 1/2 (1 - x y)^2 over a grid of starts and steps (large-lr.md): one pixel, one member.

x <- x + h (1 - x y) y,  y <- y + h (1 - x y) x, both from the old pair. Every `check_every` steps a member stops as
diverged (x^2 + y^2 at or above `far`, or not a number), converged (|1 - x y| < `close`) or at `max_steps` as bounded.

Arrays: W_2 (member, 1, 1) = x_0, W_1 (member, 1, 1) = y_0, learning_rate (member) = h, over
x_0 in (0, 4], h in [0.5, 2], y_0 = 0.3: 19 % of the pixels converge, 60 % diverge, 21 % run to the end.
Result: W_1, W_2, end_step (member), status (member): 0 bounded, 1 converged, 2 diverged.
"""

from __future__ import annotations

import numpy as np

from harness import Comparison
from state import Case

BOUNDED, CONVERGED, DIVERGED = 0, 1, 2


def cases(scale):
    side, max_steps = {"quick": (200, 1000), "full": (1000, 10_000)}[scale]
    parameters = {
        "side": side,
        "max_steps": max_steps,
        "check_every": 10,
        "far": 1e6,
        "close": 1e-12,
        "reference_stride": 37,
    }
    return [Case("scalar_map", "scalar-map", side * side, "f64", parameters)]


def generate(case):
    side = case["side"]
    x, h = np.meshgrid(4 * np.arange(1, side + 1) / side, np.linspace(0.5, 2, side))
    return {
        "W_2": x.reshape(-1, 1, 1).astype(case.dtype),
        "W_1": np.full((case.members, 1, 1), 0.3, dtype=case.dtype),
        "learning_rate": h.reshape(-1).astype(case.dtype),
    }


def iterate(x, y, h, max_steps, check_every, far, close):
    """All members in lockstep, the finished ones left out: returns x, y, end_step, status."""
    final_x, final_y = x.copy(), y.copy()
    end_step, status = np.zeros(len(x), dtype=np.int32), np.zeros(len(x), dtype=np.int32)
    live = np.arange(len(x))
    with np.errstate(all="ignore"):
        for step in range(check_every, max_steps + 1, check_every):
            for _ in range(check_every):
                move = h * (1 - x * y)
                x, y = x + move * y, y + move * x
            diverged = ~(x * x + y * y < far)
            converged = np.abs(1 - x * y) < close
            stops = diverged | converged | (step >= max_steps)
            final_x[live[stops]], final_y[live[stops]] = x[stops], y[stops]
            end_step[live[stops]] = step
            status[live[stops]] = np.where(diverged, DIVERGED, np.where(converged, CONVERGED, BOUNDED))[stops]
            goes_on = ~stops
            x, y, h, live = x[goes_on], y[goes_on], h[goes_on], live[goes_on]
            if not len(live):
                break
    return final_x, final_y, end_step, status


def stopping(case):
    return {key: case[key] for key in ("max_steps", "check_every", "far", "close")}


def reference(case, arrays):
    """Of every 37th pixel: the whole map is a peer's work, not a reference's."""
    checked = np.arange(0, case.members, case["reference_stride"])
    x, y, h = (arrays[name].reshape(-1)[checked].astype(np.float64) for name in ("W_2", "W_1", "learning_rate"))
    x, y, end_step, status = iterate(x, y, h, **stopping(case))
    return {"W_2": x, "W_1": y, "end_step": end_step, "status": status, "checked": checked}


def compare(case, arrays, result, after):
    """Orbits at large steps are chaotic, and a fused multiply-add is enough to part two of them: there only the fate
    counts. At most 0.5 % of the pixels (the boundaries of the basins) may differ in status, the live steps in all by
    1 %, and pixels that converge within 50 steps must end at the same point to 1e-9."""
    at = after.get("checked", np.arange(case.members))
    status, end_step = np.asarray(result["status"])[at], np.asarray(result["end_step"])[at]
    differ = float(np.mean(status != after["status"]))
    steps = abs(int(end_step.sum()) / int(after["end_step"].sum()) - 1)
    early = (after["status"] == CONVERGED) & (after["end_step"] <= 50) & (status == CONVERGED)
    worst = 0.0
    for name in ("W_1", "W_2"):
        got, expected = np.asarray(result[name]).reshape(-1)[at][early], after[name].reshape(-1)[early]
        worst = float(np.max(np.abs(got / expected - 1), initial=worst))
    note = f"{differ:.2%} of the pixels differ in status, {steps:.2%} in steps; {early.sum()} early pixels compared"
    return Comparison(bool(differ <= 5e-3 and steps <= 1e-2 and worst <= 1e-9 and early.any()), worst, 1e-9, note)


def units(case, result):
    """Live steps, as the peer itself counted them: what it does for stopped members is its own affair."""
    return int(np.sum(result["end_step"], dtype=np.int64))


def flops(case):
    """1 - x y (2), h times it (1), the updates (4); the test every check_every steps: x^2 + y^2 (3), 1 - x y (2)."""
    return 7 + 5 / case["check_every"]


def bytes_moved(case):
    return 4 * case.dtype.itemsize
