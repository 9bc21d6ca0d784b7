"""Ensembles of fully connected ReLU nets without biases on shared points (balance.md):
f(x) = W_L relu(W_{L-1} ... relu(W_1 x)), loss 1/n sum_i 1/2 ||f(x_i) - y_i||^2, full-batch GD.

`fc`: 1000-100-100-10 on 1000 points.  `tiny-fc`: 8-16-16-1 on 64 points.
Arrays: W_1 ... W_L (member, out, in), inputs (n, d), labels (n, outputs): the outputs of a net of the same shape.
Start: N(0, 2/in) entries (variance).
"""

from __future__ import annotations

import numpy as np

from state import Case
from workloads import unit_roundoff


def cases(scale):
    rows = []
    for name, sizes, points, members, learning_rate, chunk in (
        ("fc", [1000, 100, 100, 10], 1000, {"quick": 4, "full": 64}[scale], 1e-3, 20),
        ("tiny-fc", [8, 16, 16, 1], 64, {"quick": 512, "full": 4096}[scale], 1e-2, 100),
    ):
        for precision in ("f32", "f64"):
            parameters = {"sizes": sizes, "points": points, "learning_rate": learning_rate, "seed": 5}
            rows.append(Case("fully_connected", name, members, precision, parameters, chunk=chunk))
    return rows


def generate(case):
    sizes, n = case["sizes"], case["points"]
    rng = np.random.default_rng(case["seed"])

    def net(members):
        return [
            rng.standard_normal((members, out, inner)) * np.sqrt(2 / inner) for inner, out in zip(sizes[:-1], sizes[1:])
        ]

    inputs = rng.standard_normal((n, sizes[0]))
    labels = activations(net(1), inputs)[-1][0]
    arrays = {"inputs": inputs, "labels": labels}
    arrays.update({f"W_{layer + 1}": weight for layer, weight in enumerate(net(case.members))})
    return {name: array.astype(case.dtype) for name, array in arrays.items()}


def activations(weights, inputs):
    """Outputs of every layer, (member, n, out); ReLU on all but the last."""
    layers = [np.matmul(inputs, weights[0].transpose(0, 2, 1))]
    for weight in weights[1:]:
        layers[-1] = np.maximum(layers[-1], 0)
        layers.append(np.matmul(layers[-1], weight.transpose(0, 2, 1)))
    return layers


def loss(weights, inputs, labels):
    residual = activations(weights, inputs)[-1] - labels
    return 0.5 * np.sum(residual**2, axis=(1, 2)) / len(inputs)


def gradients(weights, inputs, labels):
    layers = activations(weights, inputs)
    delta = (layers[-1] - labels) / len(inputs)
    result = [None] * len(weights)
    for layer in range(len(weights) - 1, 0, -1):
        result[layer] = np.matmul(delta.transpose(0, 2, 1), layers[layer - 1])
        delta = np.matmul(delta, weights[layer]) * (layers[layer - 1] > 0)
    result[0] = np.matmul(delta.transpose(0, 2, 1), inputs)
    return result


def reference(case, arrays):
    weights = [arrays[f"W_{layer + 1}"].astype(np.float64) for layer in range(len(case["sizes"]) - 1)]
    x, y = arrays["inputs"].astype(np.float64), arrays["labels"].astype(np.float64)
    for _ in range(case.chunk):
        weights = [w - case["learning_rate"] * g for w, g in zip(weights, gradients(weights, x, y))]
    return {f"W_{layer + 1}": weight for layer, weight in enumerate(weights)}


def tolerance(case):
    """Dot products of up to max(in, n) terms, per step. In fp32 some unit of some member rounds to the other side of
    its kink: that moves one gradient by one point's share, learning_rate / n times a few."""
    terms = max(max(case["sizes"]), case["points"])
    kink = 10 * case["learning_rate"] / case["points"] if case.precision == "f32" else 0
    return case.chunk * terms * unit_roundoff(case) + kink


def flops(case):
    """Forward and weight gradients over all layers (2 n in out each), deltas over all but the first, entrywise work."""
    sizes, n = case["sizes"], case["points"]
    weights = [inner * out for inner, out in zip(sizes[:-1], sizes[1:])]
    entrywise = n * (2 * sum(sizes[1:-1]) + 2 * sizes[-1]) + 2 * sum(weights)
    return 2 * n * (2 * sum(weights) + sum(weights[1:])) + entrywise


def bytes_moved(case):
    """Parameters read and written; the activations of one member and step are assumed to stay in cache."""
    sizes = case["sizes"]
    return 2 * sum(inner * out for inner, out in zip(sizes[:-1], sizes[1:])) * case.dtype.itemsize
