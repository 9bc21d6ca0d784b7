"""Deep matrix factorization (greedy.md): W = W_L ... W_1, loss 1/2 ||mask o (W - target)||_F^2, d = 20.

GD:  W_l <- W_l - learning_rate dW_l
RMS-scaled GD, one scalar per member:  v <- .99 v + .01 sum_l ||dW_l||_F^2,
     W_l <- W_l - learning_rate / (sqrt(v / (1 - .99^{t+1})) + epsilon) dW_l,  t = 0, 1, ...

Arrays: W_1 ... W_L (member, d, d), target (d, d), mask (d, d) of 0 and 1 where not everything is observed.
Target: Q diag(17.41, 8.85, 4.31) Q^T. Start: orthogonal, ||W(0)||_F = end_norm.
"""

from __future__ import annotations

import numpy as np

from state import Case
from workloads import unit_roundoff

SINGULAR_VALUES = (17.41, 8.85, 4.31)
RMS_DECAY = 0.99


def cases(scale):
    members_of = {"quick": (256,), "full": (256, 4096)}[scale]
    rows = []
    for depth, optimizer, name, learning_rate in (
        (2, "gd", "greedy-2", 1e-3),
        (3, "gd", "greedy-3-gd", 1e-3),
        (3, "rms_gd", "greedy-3-rms", 2e-5),
    ):
        for observed in (1.0, 0.3):
            for members in members_of:
                for precision in ("f64", "f32"):
                    parameters = {
                        "depth": depth,
                        "size": 20,
                        "optimizer": optimizer,
                        "learning_rate": learning_rate,
                        "epsilon": 1e-4,
                        "observed": observed,
                        "end_norm": 1e-3,
                        "seed": 7,
                    }
                    label = f"{name}-{'full' if observed == 1.0 else 'masked'}"
                    rows.append(Case("factorization", label, members, precision, parameters, chunk=100))
    return rows


def generate(case):
    d, depth = case["size"], case["depth"]
    rng = np.random.default_rng(case["seed"])
    q, _ = np.linalg.qr(rng.standard_normal((d, d)))
    q = q[:, : len(SINGULAR_VALUES)]
    arrays = {"target": (q * SINGULAR_VALUES) @ q.T}
    if case["observed"] < 1:
        upper = np.triu(rng.random((d, d)) < case["observed"])
        arrays["mask"] = (upper | upper.T).astype(np.float64)
    frames = np.linalg.qr(rng.standard_normal((depth, case.members, d, d)))[0]
    diagonal = np.abs(rng.standard_normal((case.members, d)))
    diagonal *= case["end_norm"] / np.linalg.norm(diagonal, axis=1, keepdims=True)
    root = diagonal ** (1 / depth)
    for layer in range(depth):
        left, right = frames[(layer + 1) % depth], frames[layer]
        arrays[f"W_{layer + 1}"] = (left * root[:, None, :]) @ right.transpose(0, 2, 1)
    return {name: array.astype(case.dtype) for name, array in arrays.items()}


def gradients(weights, target, mask):
    """dW_l of every layer for stacked weights [W_1, ..., W_L]; mask None means everything is observed."""
    partial = [weights[0]]
    for weight in weights[1:]:
        partial.append(weight @ partial[-1])
    delta = partial[-1] - target
    if mask is not None:
        delta = delta * mask
    result = [None] * len(weights)
    for layer in range(len(weights) - 1, 0, -1):
        result[layer] = delta @ partial[layer - 1].transpose(0, 2, 1)
        delta = weights[layer].transpose(0, 2, 1) @ delta
    result[0] = delta
    return result


def loss(weights, target, mask):
    end_to_end = weights[0]
    for weight in weights[1:]:
        end_to_end = weight @ end_to_end
    residual = (end_to_end - target) * (1 if mask is None else mask)
    return 0.5 * np.sum(residual**2, axis=(1, 2))


def reference(case, arrays):
    weights = [arrays[f"W_{layer + 1}"].astype(np.float64) for layer in range(case["depth"])]
    target = arrays["target"].astype(np.float64)
    mask = arrays["mask"].astype(np.float64) if "mask" in arrays else None
    v = np.zeros(case.members)
    for t in range(case.chunk):
        steps = gradients(weights, target, mask)
        scale = case["learning_rate"]
        if case["optimizer"] == "rms_gd":
            v = RMS_DECAY * v + (1 - RMS_DECAY) * sum(np.sum(g**2, axis=(1, 2)) for g in steps)
            scale = scale / (np.sqrt(v / (1 - RMS_DECAY ** (t + 1))) + case["epsilon"])
            scale = scale[:, None, None]
        weights = [w - scale * g for w, g in zip(weights, steps)]
    return {f"W_{layer + 1}": weight for layer, weight in enumerate(weights)}


def tolerance(case):
    """Each step rounds dot products of d terms; errors grow at most like the fastest mode of W:
    exp(learning_rate s_1 chunk) = 5.7 at depth 2, less beyond."""
    growth = np.exp(case["learning_rate"] * SINGULAR_VALUES[0] * case.chunk)
    return float(case.chunk * case["size"] * unit_roundoff(case) * growth)


def flops(case):
    """3 (L - 1) products of 2 d^3, the residual, the mask, the updates, and for RMS the norm of the gradient."""
    d, depth = case["size"], case["depth"]
    entrywise = 1 + (case["observed"] < 1) + 2 * depth + (2 * depth if case["optimizer"] == "rms_gd" else 0)
    return 6 * (depth - 1) * d**3 + entrywise * d**2


def bytes_moved(case):
    return 2 * case["depth"] * case["size"] ** 2 * case.dtype.itemsize
