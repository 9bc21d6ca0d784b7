"""Deep linear net trained by SGD over single entries (jumps.md), convention "weight-decay".

A = W_3 W_2 W_1 with widths 2-w-w-2. Each step takes one observed entry (i, j) of every member's index stream:
    theta <- (1 - learning_rate weight_decay) theta - learning_rate grad (A*_ij - A_ij)^2

Arrays: W_1 (member, w, 2), W_2 (member, w, w), W_3 (member, 2, w); indices (member, step), the number of the entry in
parameters.entries; entries and values stand in the parameters. Start: N(0, 1/w) entries (variance 1/w).
"""

from __future__ import annotations

import numpy as np

from state import Case
from workloads import unit_roundoff


def cases(scale):
    members = {"quick": 64, "full": 1024}[scale]
    parameters = {
        "width": 100,
        "size": 2,
        "entries": [[0, 0], [1, 0], [1, 1]],
        "values": [1.0, 0.25, 1.0],
        "learning_rate": 0.03,
        "weight_decay": 0.1,
        "seed": 11,
    }
    return [Case("entries_sgd", "jumps-3", members, p, dict(parameters), chunk=100) for p in ("f64", "f32")]


def generate(case):
    w, size = case["width"], case["size"]
    rng = np.random.default_rng(case["seed"])
    shapes = {"W_1": (w, size), "W_2": (w, w), "W_3": (size, w)}
    arrays = {
        name: (rng.standard_normal((case.members, *shape)) / np.sqrt(w)).astype(case.dtype)
        for name, shape in shapes.items()
    }
    arrays["indices"] = rng.integers(len(case["entries"]), size=(case.members, case.chunk), dtype=np.int32)
    return arrays


def reference(case, arrays):
    w1, w2, w3 = (arrays[f"W_{layer}"].astype(np.float64) for layer in (1, 2, 3))
    entries, values = np.array(case["entries"]), np.array(case["values"])
    member = np.arange(case.members)
    decay = 1 - case["learning_rate"] * case["weight_decay"]
    for t in range(case.chunk):
        i, j = entries[arrays["indices"][:, t]].T
        column, row = w1[member, :, j], w3[member, i, :]
        hidden = np.matmul(w2, column[:, :, None])[:, :, 0]
        back = np.matmul(row[:, None, :], w2)[:, 0, :]
        residual = values[arrays["indices"][:, t]] - np.sum(row * hidden, axis=1)
        step = (2 * case["learning_rate"] * residual)[:, None]
        w1, w2, w3 = decay * w1, decay * w2 + (step * row)[:, :, None] * column[:, None, :], decay * w3
        w1[member, :, j] += step * back
        w3[member, i, :] += step * hidden
    return {"W_1": w1, "W_2": w2, "W_3": w3}


def tolerance(case):
    """Dot products of w terms per step; at this step size the map is not expanding by more than a few."""
    return case.chunk * case["width"] * unit_roundoff(case)


def flops(case):
    """Two matrix-vector products (2 w^2 each), decay and rank-one update of W_2 (3 w^2), the rest of order w."""
    w, size = case["width"], case["size"]
    return 7 * w**2 + (2 + 3 * 2 + 2 * size) * w


def bytes_moved(case):
    w = case["width"]
    return 2 * (w**2 + 2 * case["size"] * w) * case.dtype.itemsize
