"""An ensemble of small convolutional nets on shared 28x28 images.

    images (n, 1, 28, 28)
    convolution 3x3, stride 2, zero padding 1, 8 channels    -> (n, 8, 14, 14), ReLU
    convolution 3x3, stride 2, zero padding 1, 16 channels   -> (n, 16, 7, 7), ReLU
    flatten in the order (channel, row, column), dense to 10

No biases; loss 1/n sum_i 1/2 ||f(x_i) - y_i||^2 with one-hot labels; full-batch GD over n images. "Convolution" is
the networks' cross-correlation: out[o, r, c] = sum_{i,u,v} W[o, i, u, v] in[i, 2r + u - 1, 2c + v - 1].

Arrays: W_1 (member, 8, 9), W_2 (member, 16, 72), W_3 (member, 10, 784): kernels flattened in the order
(input channel, row, column); images (n, 28, 28) in [0, 1]; labels (n, 10). Images and labels are random where no data
set is exported. Start: N(0, 2/in) entries.
"""

from __future__ import annotations

import numpy as np

from state import Case
from workloads import unit_roundoff

CHANNELS = (1, 8, 16)
SIDES = (28, 14, 7)
CLASSES = 10


def cases(scale):
    members, points = {"quick": (16, 16), "full": (256, 64)}[scale]
    return [
        Case("cnn", "cnn", members, precision, {"points": points, "learning_rate": 1e-2, "seed": 13}, chunk=10)
        for precision in ("f32", "f64")
    ]


def shapes():
    return [(8, 9), (16, 72), (CLASSES, 16 * 7 * 7)]


def generate(case):
    rng = np.random.default_rng(case["seed"])
    n = case["points"]
    arrays = {"images": rng.random((n, 28, 28)), "labels": np.eye(CLASSES)[rng.integers(CLASSES, size=n)]}
    for layer, (out, inner) in enumerate(shapes(), start=1):
        arrays[f"W_{layer}"] = rng.standard_normal((case.members, out, inner)) * np.sqrt(2 / inner)
    return {name: array.astype(case.dtype) for name, array in arrays.items()}


def patches(maps):
    """(..., channels, side, side) -> (..., channels * 9, side/2 * side/2) for 3x3, stride 2, padding 1."""
    side = maps.shape[-1]
    padded = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(1, 1), (1, 1)])
    taps = [padded[..., u : u + side : 2, v : v + side : 2] for u in range(3) for v in range(3)]
    return np.stack(taps, axis=-3).reshape(*maps.shape[:-3], maps.shape[-3] * 9, (side // 2) ** 2)


def scatter_patches(columns, channels, side):
    """The transpose of `patches`."""
    half = side // 2
    taps = columns.reshape(*columns.shape[:-2], channels, 9, half, half)
    padded = np.zeros((*columns.shape[:-2], channels, side + 2, side + 2), dtype=columns.dtype)
    for tap in range(9):
        u, v = divmod(tap, 3)
        padded[..., u : u + side : 2, v : v + side : 2] += taps[..., tap, :, :]
    return padded[..., 1:-1, 1:-1]


def loss_and_gradients(weights, images, labels):
    """Loss and gradients of one member: weights as in the arrays, without the member axis."""
    w1, w2, w3 = weights
    n = len(images)
    columns_1 = patches(images[:, None])
    hidden_1 = np.maximum(w1 @ columns_1, 0)
    columns_2 = patches(hidden_1.reshape(n, 8, 14, 14))
    hidden_2 = np.maximum(w2 @ columns_2, 0)
    features = hidden_2.reshape(n, -1)
    residual = features @ w3.T - labels
    delta = residual / n
    d3 = delta.T @ features
    delta_2 = (delta @ w3).reshape(hidden_2.shape) * (hidden_2 > 0)
    d2 = np.sum(delta_2 @ columns_2.transpose(0, 2, 1), axis=0)
    delta_1 = scatter_patches(w2.T @ delta_2, 8, 14).reshape(hidden_1.shape) * (hidden_1 > 0)
    d1 = np.sum(delta_1 @ columns_1.transpose(0, 2, 1), axis=0)
    return 0.5 * np.sum(residual**2) / n, [d1, d2, d3]


def reference(case, arrays):
    stacked = [arrays[f"W_{layer}"].astype(np.float64) for layer in (1, 2, 3)]
    images, labels = arrays["images"].astype(np.float64), arrays["labels"].astype(np.float64)
    for member in range(case.members):
        weights = [w[member].copy() for w in stacked]
        for _ in range(case.chunk):
            steps = loss_and_gradients(weights, images, labels)[1]
            weights = [w - case["learning_rate"] * g for w, g in zip(weights, steps)]
        for w, value in zip(stacked, weights):
            w[member] = value
    return {f"W_{layer}": w for layer, w in enumerate(stacked, start=1)}


def tolerance(case):
    """The longest sums: 784 features, or n images times 196 positions in a kernel's gradient."""
    return case.chunk * max(784, case["points"] * 196) * unit_roundoff(case)


def flops(case):
    """Per image: each layer's product forward and for its weights, and for its inputs beyond the first layer; the
    ReLUs, their masks and the sums that put patches back."""
    products = [8 * 9 * 196, 16 * 72 * 49, 10 * 784]
    per_image = 2 * (2 * sum(products) + products[1] + products[2]) + 3 * (8 * 196 + 784) + 72 * 49
    return case["points"] * per_image + 2 * sum(a * b for a, b in shapes())


def bytes_moved(case):
    """Parameters read and written, the images read; activations are assumed to stay in cache."""
    parameters = sum(a * b for a, b in shapes())
    return (2 * parameters + case["points"] * 784) * case.dtype.itemsize
