"""The finite-width tangent kernel of a deep ReLU net (overparam.md, eq. 3.2), one scalar output:
x^(h) = sqrt(2/m) relu(W_h x^(h-1)), h = 1..H, f = a . x^(H), all layers trained, entries N(0, 1):
K_ij = <df(x_i)/dtheta, df(x_j)/dtheta>.

Arrays: inputs (n, d) of unit norm, W_1 (1, m, d), W_2 ... W_H (1, m, m), W_{H+1} = a (1, 1, m). Result: kernel (n, n).
"""

from __future__ import annotations

import numpy as np

from state import Case
from workloads import unit_roundoff


def cases(scale):
    n, d, width = {"quick": (100, 100, 128), "full": (1000, 1000, 1024)}[scale]
    return [
        Case(
            "tangent_kernel",
            "tangent-kernel",
            1,
            precision,
            {"points": n, "inputs": d, "width": width, "depth": 4, "seed": 29},
            unit="kernels/s",
        )
        for precision in ("f64", "f32")
    ]


def generate(case):
    n, d, m, depth = case["points"], case["inputs"], case["width"], case["depth"]
    rng = np.random.default_rng(case["seed"])
    inputs = rng.standard_normal((n, d))
    arrays = {"inputs": inputs / np.linalg.norm(inputs, axis=1, keepdims=True)}
    sizes = [d] + [m] * depth + [1]
    for layer, (inner, out) in enumerate(zip(sizes[:-1], sizes[1:]), start=1):
        arrays[f"W_{layer}"] = rng.standard_normal((1, out, inner))
    return {name: array.astype(case.dtype) for name, array in arrays.items()}


def outputs(weights, x):
    for w in weights[:-1]:
        x = np.sqrt(2 / len(w)) * np.maximum(x @ w.T, 0)
    return x @ weights[-1].T


def kernel(weights, x):
    """Sum over layers of (A A^T) o (B B^T): A the layer's inputs, B = df/d(pre-activation) with every scale in it."""
    inputs, hidden = [x], []
    for w in weights[:-1]:
        hidden.append(inputs[-1] @ w.T)
        inputs.append(np.sqrt(2 / len(w)) * np.maximum(hidden[-1], 0))
    total = inputs[-1] @ inputs[-1].T
    back = np.broadcast_to(weights[-1], (len(x), weights[-1].shape[1]))
    for layer in range(len(hidden) - 1, -1, -1):
        back = np.sqrt(2 / len(weights[layer])) * back * (hidden[layer] > 0)
        total += (inputs[layer] @ inputs[layer].T) * (back @ back.T)
        back = back @ weights[layer]
    return total


def reference(case, arrays):
    weights = [arrays[f"W_{layer}"][0].astype(np.float64) for layer in range(1, case["depth"] + 2)]
    return {"kernel": kernel(weights, arrays["inputs"].astype(np.float64))}


def tolerance(case):
    """Dot products of m terms through 2 H layers. In fp32 a unit near zero may round to the other side of its kink:
    each such flip moves one entry's sum by 1/m, and n m H u of them are expected in a kernel."""
    m, depth = case["width"], case["depth"]
    flips = case["points"] * m * depth * unit_roundoff(case)
    return 2 * depth * m * unit_roundoff(case) + (1 + flips) / m * (case.precision == "f32")


def units(case, result):
    return 1


def flops(case):
    """Forward 2 n P, back-propagation 2 n P without the first layer, and per layer two symmetric products
    n (n + 1) (in + out), summed entrywise; P the parameters. (Per-example gradients would cost n^2 P.)"""
    n, d, m, depth = case["points"], case["inputs"], case["width"], case["depth"]
    sizes = [d] + [m] * depth + [1]
    parameters = sum(a * b for a, b in zip(sizes[:-1], sizes[1:]))
    products = n * (n + 1) * (d + m + 2 * m * (depth - 1) + m)
    return 2 * n * parameters + 2 * n * (parameters - d * m) + products + 2 * (depth + 1) * n * n


def bytes_moved(case):
    n, d, m, depth = case["points"], case["inputs"], case["width"], case["depth"]
    return (n * d + d * m + (depth - 1) * m * m + m + n * n) * case.dtype.itemsize
