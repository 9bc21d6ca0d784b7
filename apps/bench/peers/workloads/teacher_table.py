"""Table 5.1 of the thesis (teacher.md): a one-hidden-layer CNN student against its teacher, closed-form gradients.

    phi = angle(v, w*),  g = (pi - phi) cos phi + sin phi,  ||w*|| = ||a*|| = 1
    dv = -(a . a*) (pi - phi) / (2 pi ||v||) (w* - v (v . w*) / ||v||^2)
    da = 1/(2 pi) (sum(a) + (pi - 1) a) - 1/(2 pi) (sum(a*) + (g - 1) a*)
    v <- v - learning_rate dv,  a <- a - learning_rate da

36 cells: k in {25, ..., 100} patches x ratio (1.a*)^2 / ||a*||^2 in {0, 1, 4, 9, 16, 25}. a* lies in the plane of 1 and
(1, -1, 1, -1, ...) made orthogonal to it. Start: v uniform on the sphere, a uniform in the ball of radius
|1.a*| / sqrt(k) (theorem 5.4). Every `check_every` steps a member stops as
    global    phi < 1e-6 and max |a - a*| < 1e-6
    spurious  pi - phi < 0.02 and max |a - a_s| < 1e-6, a_s = (1 1^T + (pi - 1) I)^-1 (1 1^T - I) a*
or at `max_steps` as unfinished.

Arrays: v (member, p), a (member, 100) padded with zeros beyond the member's k, cell (member), w_star (p),
a_star (cell, 100) padded, spurious (cell, 100) padded, patches (cell) = k. Members are sorted by cell, k slowest.
Result: v, a, end_step (member), status (member): 0 unfinished, 1 global, 2 spurious.
"""

from __future__ import annotations

import numpy as np

from harness import Comparison
from state import Case

UNFINISHED, GLOBAL, SPURIOUS = 0, 1, 2
PATCHES = (25, 36, 49, 64, 81, 100)
RATIOS = (0, 1, 4, 9, 16, 25)
WIDEST = max(PATCHES)


def cases(scale):
    per_cell = {"quick": 139, "full": 5000}[scale]
    parameters = {
        "per_cell": per_cell,
        "filter": 6,
        "learning_rate": 0.1,
        "max_steps": 40_000,
        "check_every": 10,
        "close": 1e-6,
        "close_angle": 0.02,
        "reference_per_cell": 10,
        "seed": 31,
    }
    return [Case("teacher_table", "table", 36 * per_cell, "f64", parameters)]


def teacher(k, ratio):
    one = np.ones(k) / np.sqrt(k)
    other = np.where(np.arange(k) % 2 == 0, 1.0, -1.0)
    other -= one * (one @ other)
    other /= np.linalg.norm(other)
    return np.sqrt(ratio / k) * one + np.sqrt(1 - ratio / k) * other


def spurious_end(a_star):
    k = len(a_star)
    ones = np.ones((k, k))
    return np.linalg.solve(ones + (np.pi - 1) * np.eye(k), (ones - np.eye(k)) @ a_star)


def generate(case):
    rng = np.random.default_rng(case["seed"])
    p, each = case["filter"], case["per_cell"]
    cells = [(k, ratio) for k in PATCHES for ratio in RATIOS]
    w_star = rng.standard_normal(p)
    w_star /= np.linalg.norm(w_star)
    v = rng.standard_normal((case.members, p))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    a = np.zeros((case.members, WIDEST))
    a_star, spurious = np.zeros((len(cells), WIDEST)), np.zeros((len(cells), WIDEST))
    for cell, (k, ratio) in enumerate(cells):
        a_star[cell, :k] = teacher(k, ratio)
        spurious[cell, :k] = spurious_end(a_star[cell, :k])
        draw = rng.standard_normal((each, k))
        draw *= (rng.random(each) ** (1 / k) * np.sqrt(ratio / k) / np.linalg.norm(draw, axis=1))[:, None]
        a[cell * each : (cell + 1) * each, :k] = draw
    arrays = {"v": v, "a": a, "w_star": w_star, "a_star": a_star, "spurious": spurious}
    arrays = {name: array.astype(case.dtype) for name, array in arrays.items()}
    arrays["cell"] = np.repeat(np.arange(len(cells), dtype=np.int32), each)
    arrays["patches"] = np.array([k for k, _ in cells], dtype=np.int32)
    return arrays


def gradients(v, a, w_star, a_star):
    """dv, da of stacked members that share k: v (member, p), a (member, k), a_star (member, k) or (k,)."""
    norm2 = np.sum(v * v, axis=1)
    along = v @ w_star
    cosine = np.clip(along / np.sqrt(norm2), -1, 1)
    phi = np.arccos(cosine)
    g = (np.pi - phi) * cosine + np.sqrt(1 - cosine**2)
    pull = np.sum(a * a_star, axis=1) * (np.pi - phi) / (2 * np.pi * np.sqrt(norm2))
    dv = -pull[:, None] * (w_star - v * (along / norm2)[:, None])
    sums = np.sum(a, axis=1) - np.sum(a_star * np.ones_like(a), axis=1)
    da = (sums[:, None] + (np.pi - 1) * a - (g - 1)[:, None] * a_star) / (2 * np.pi)
    return dv, da


def population_loss(v, a, w_star, a_star):
    """Of one member; its gradient is `gradients`, and it vanishes at the teacher (the printed (5.3) has a slip in its
    last cross term)."""
    cosine = v @ w_star / np.linalg.norm(v)
    phi = np.arccos(np.clip(cosine, -1, 1))
    g = (np.pi - phi) * cosine + np.sqrt(1 - cosine**2)

    def quadratic(b, c, diagonal):
        return b.sum() * c.sum() + (diagonal - 1) * (b @ c)

    return (quadratic(a, a, np.pi) + quadratic(a_star, a_star, np.pi) - 2 * quadratic(a, a_star, g)) / (4 * np.pi)


def groups(arrays):
    """(k, members) for every number of patches: what shares a shape."""
    patches = arrays["patches"][arrays["cell"]]
    return [(int(k), np.flatnonzero(patches == k)) for k in np.unique(patches)]


def angles(v, w_star):
    return np.arccos(np.clip(v @ w_star / np.linalg.norm(v, axis=1), -1, 1))


def reference(case, arrays):
    """The first few members of every cell: all of them are a peer's work, not a reference's."""
    each, some = case["per_cell"], min(case["reference_per_cell"], case["per_cell"])
    cells = len(arrays["patches"])
    checked = (np.arange(cells)[:, None] * each + np.arange(some)).reshape(-1)
    v, a = arrays["v"][checked].astype(np.float64), arrays["a"][checked].astype(np.float64)
    w_star = arrays["w_star"].astype(np.float64)
    end_step, status = np.zeros(len(checked), np.int32), np.zeros(len(checked), np.int32)
    for cell in range(cells):
        k, rows = arrays["patches"][cell], slice(cell * some, (cell + 1) * some)
        a_star, spurious = arrays["a_star"][cell, :k], arrays["spurious"][cell, :k]
        live = np.arange(rows.start, rows.stop)
        for step in range(case["check_every"], case["max_steps"] + 1, case["check_every"]):
            x, y = v[live], a[live, :k]
            for _ in range(case["check_every"]):
                dv, da = gradients(x, y, w_star, a_star)
                x, y = x - case["learning_rate"] * dv, y - case["learning_rate"] * da
            v[live], a[live, :k] = x, y
            phi = angles(x, w_star)
            at_global = (phi < case["close"]) & (np.max(np.abs(y - a_star), axis=1) < case["close"])
            at_spurious = (np.pi - phi < case["close_angle"]) & (np.max(np.abs(y - spurious), axis=1) < case["close"])
            status[live] = np.where(at_global, GLOBAL, np.where(at_spurious, SPURIOUS, UNFINISHED))
            end_step[live] = step
            live = live[~(at_global | at_spurious)]
            if not len(live):
                break
    return {"v": v, "a": a, "end_step": end_step, "status": status, "checked": checked}


def compare(case, arrays, result, after):
    """Ends and steps of the checked members. One in 500 may end at the other point (a start between the two basins);
    the others stop within one check of each other and, where at the same step, at the same point to 1e-9."""
    at = after.get("checked", np.arange(case.members))
    status, end_step = np.asarray(result["status"])[at], np.asarray(result["end_step"])[at]
    same = status == after["status"]
    late = np.abs(end_step - after["end_step"])[same] > case["check_every"]
    together = same & (end_step == after["end_step"])
    apart = [
        np.max(np.abs(np.asarray(result[name])[at][together] - after[name][together]), initial=0) for name in ("v", "a")
    ]
    worst = float(np.max(apart))
    differ, late = 1 - float(np.mean(same)), float(np.mean(late))
    note = f"{differ:.2%} of the checked members end elsewhere, {late:.2%} at another check"
    return Comparison(bool(differ <= 2e-3 and late <= 1e-2 and worst <= 1e-9), worst, 1e-9, note)


def units(case, result):
    """Live steps, as the peer itself counted them."""
    return int(np.sum(result["end_step"], dtype=np.int64))


def flops(case):
    """Per member-step with k patches: a . a* and sum(a) (3 k), the update of a as c_1 a + c_2 a* + c_3 (4 k), the same
    for v (v . w*, ||v||^2, update: 7 p), one arc cosine, square roots and scalars (40); averaged over the six k."""
    return 7 * (sum(PATCHES) / len(PATCHES) + case["filter"]) + 40


def bytes_moved(case):
    return 2 * (sum(PATCHES) / len(PATCHES) + case["filter"]) * case.dtype.itemsize
