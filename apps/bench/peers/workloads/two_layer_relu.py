"""Wide two-layer ReLU net (overparam.md): f(x) = 1/sqrt(m) sum_r a_r relu(w_r . x), a_r = +-1 fixed, only W trained.

Full-batch GD on L = 1/2 sum_i (f(x_i) - y_i)^2 over n = d unit vectors. One member.
Arrays: W_1 (1, m, d), W_2 (1, 1, m) of +-1 (without the 1/sqrt(m)), inputs (n, d), labels (n).
"""

from __future__ import annotations

import numpy as np

from state import Case
from workloads import unit_roundoff


def cases(scale):
    shapes = {"quick": [(200, 200, 500)], "full": [(1000, 1000, m) for m in (1000, 4000, 16000)]}[scale]
    return [
        Case(
            "two_layer_relu",
            f"two-layer-m{m}",
            1,
            precision,
            {"points": n, "inputs": d, "width": m, "learning_rate": 0.3, "seed": 3},
            chunk=5,
        )
        for n, d, m in shapes
        for precision in ("f32", "f64")
    ]


def generate(case):
    n, d, m = case["points"], case["inputs"], case["width"]
    rng = np.random.default_rng(case["seed"])
    inputs = rng.standard_normal((n, d))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    arrays = {
        "inputs": inputs,
        "labels": rng.standard_normal(n),
        "W_1": rng.standard_normal((1, m, d)),
        "W_2": rng.choice([-1.0, 1.0], size=(1, 1, m)),
    }
    return {name: array.astype(case.dtype) for name, array in arrays.items()}


def outputs_and_gradient(w, a, x, y):
    """f(x_i) and dL/dW for one net: w (m, d), a (m)."""
    hidden = x @ w.T
    active = hidden > 0
    signs = a / np.sqrt(len(a))
    outputs = (hidden * active) @ signs
    return outputs, (active * ((outputs - y)[:, None] * signs)).T @ x


def reference(case, arrays):
    w, a, x, y = (arrays[k].astype(np.float64) for k in ("W_1", "W_2", "inputs", "labels"))
    for _ in range(case.chunk):
        w = w - case["learning_rate"] * outputs_and_gradient(w[0], a[0, 0], x, y)[1]
    return {"W_1": w}


def tolerance(case):
    """Products of d and n terms per step. In fp32 some pattern rounds the other way: that moves one neuron's gradient
    by a residual (a few) times 1/sqrt(m) times an input's entry (a few times 1/sqrt(d))."""
    kink = 25 * case["learning_rate"] / np.sqrt(case["width"] * case["inputs"]) if case.precision == "f32" else 0
    return float(case.chunk * max(case["inputs"], case["points"]) * unit_roundoff(case) + kink)


def flops(case):
    """X W^T and B^T X (2 n m d each); relu, output, back-propagated signs (6 n m); update (2 m d)."""
    n, d, m = case["points"], case["inputs"], case["width"]
    return 4 * n * m * d + 6 * n * m + 2 * m * d


def bytes_moved(case):
    n, d, m = case["points"], case["inputs"], case["width"]
    return (2 * m * d + n * d + 2 * n * m) * case.dtype.itemsize
