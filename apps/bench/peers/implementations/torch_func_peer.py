"""PyTorch's function transforms: the loss of one member, `vmap(grad(...))` over members, and in-place updates; on a GPU
a chunk of steps is one CUDA graph. The tangent kernel is the contraction of per-example gradients, layer by layer or in
blocks of points, since all gradients of all points would not fit a memory.
"""

from __future__ import annotations

import math

import torch
from torch.func import grad, vmap
from torch.nn.functional import conv2d, relu

from harness import FunctionRunner
from implementations.pytorch_peer import (
    CompiledSteps,
    Steps,
    factorization_start,
    layer_names,
    synchronize,
    tensor,
    to_numpy,
)
from workloads import factorization as factorization_workload


def version():
    return torch.__version__


def train(state, device, start, loss, names, data=(), in_dims=(0,)):
    """GD on `loss(weights, *data)` of every member."""
    gradient = vmap(grad(loss), in_dims=in_dims)
    rate = state.case["learning_rate"]

    def step(now):
        gradients = gradient(tuple(now[name] for name in names), *data)
        for name, value in zip(names, gradients):
            now[name].add_(value, alpha=-rate)

    def function(now):
        gradients = gradient(tuple(now[name] for name in names), *data)
        return {name: now[name] - rate * value for name, value in zip(names, gradients)}

    return {
        "vmap(grad)": lambda: Steps(start, step, state.case.chunk, device, names),
        "torch.compile of vmap(grad)": lambda: CompiledSteps(start, function, state.case.chunk, device, names),
    }


def factorization(state, device):
    case, names = state.case, layer_names(state.case["depth"])
    start, target, mask = factorization_start(state, device)

    def loss(weights):
        product = weights[0]
        for w in weights[1:]:
            product = w @ product
        residual = product - target
        return 0.5 * ((residual if mask is None else residual * mask) ** 2).sum()

    if case["optimizer"] == "gd":
        return train(state, device, start, loss, names)
    gradient, decay = vmap(grad(loss)), factorization_workload.RMS_DECAY

    def step(now):
        gradients = gradient(tuple(now[name] for name in names))
        now["correction"].mul_(decay)
        now["v"].mul_(decay)
        for g in gradients:
            now["v"].add_((g * g).sum((1, 2), keepdim=True), alpha=1 - decay)
        scale = -case["learning_rate"] / (torch.sqrt(now["v"] / (1 - now["correction"])) + case["epsilon"])
        for name, g in zip(names, gradients):
            now[name].addcmul_(g, scale)

    return {"vmap(grad)": lambda: Steps(start, step, case.chunk, device, names)}


def two_layer_relu(state, device):
    start = {"W_1": tensor(state.arrays["W_1"], device)}
    x, y = tensor(state.arrays["inputs"], device), tensor(state.arrays["labels"], device)
    signs = tensor(state.arrays["W_2"][0, 0], device) / math.sqrt(state.case["width"])

    def loss(weights):
        return 0.5 * ((relu(x @ weights[0].T) @ signs - y) ** 2).sum()

    return train(state, device, start, loss, ["W_1"])


def fully_connected(state, device):
    names = layer_names(len(state.case["sizes"]) - 1)
    start = {name: tensor(state.arrays[name], device) for name in names}
    x, y = tensor(state.arrays["inputs"], device), tensor(state.arrays["labels"], device)

    def loss(weights):
        hidden = x
        for w in weights[:-1]:
            hidden = relu(hidden @ w.T)
        return 0.5 * ((hidden @ weights[-1].T - y) ** 2).sum() / len(x)

    return train(state, device, start, loss, names)


def cnn(state, device):
    names = ["W_1", "W_2", "W_3"]
    start = {name: tensor(state.arrays[name], device) for name in names}
    images, labels = tensor(state.arrays["images"][:, None], device), tensor(state.arrays["labels"], device)

    def loss(weights):
        w1, w2, w3 = weights
        hidden = relu(conv2d(images, w1.view(8, 1, 3, 3), stride=2, padding=1))
        hidden = relu(conv2d(hidden, w2.view(16, 8, 3, 3), stride=2, padding=1))
        return 0.5 * ((hidden.reshape(len(images), -1) @ w3.T - labels) ** 2).sum() / len(images)

    return train(state, device, start, loss, names)


def tangent_kernel(state, device):
    """J J^T of per-example gradients. Layer by layer, one layer's gradients of all points in memory, each made once
    and contracted by large products; where they do not fit, blocks of points of all layers."""
    depth, dtype = state.case["depth"], state.case.dtype
    weights = tuple(tensor(state.arrays[f"W_{layer}"][0], device) for layer in range(1, depth + 2))
    x = tensor(state.arrays["inputs"], device)
    parameters = sum(w.numel() for w in weights)
    # Two blocks of gradients in at most 2 GB, but no smaller than 10 points.
    block = max(10, min(len(x), int(2**30 / (parameters * dtype.itemsize))))

    def output(weights, point):
        for w in weights[:-1]:
            point = math.sqrt(2 / len(w)) * relu(w @ point)
        return weights[-1][0] @ point

    gradients = vmap(grad(output), in_dims=(None, 0))

    def in_blocks():
        total = torch.zeros(len(x), len(x), dtype=x.dtype, device=device)
        starts = range(0, len(x), block)
        for i in starts:
            rows = [g.flatten(1) for g in gradients(weights, x[i : i + block])]
            for j in (j for j in starts if j <= i):
                columns = rows if i == j else [g.flatten(1) for g in gradients(weights, x[j : j + block])]
                part = sum(a @ b.T for a, b in zip(rows, columns))
                total[i : i + block, j : j + block] = part
                total[j : j + block, i : i + block] = part.T
        synchronize(device)
        return {"kernel": total}

    largest, eighth = max(w.numel() for w in weights), -(-len(x) // 8)
    jacobian = torch.empty(0)  # allocated by the first call

    def by_layers():
        nonlocal jacobian
        if not len(jacobian):
            jacobian = torch.empty(len(x) * largest, dtype=x.dtype, device=device)
        total = torch.zeros(len(x), len(x), dtype=x.dtype, device=device)
        for h, w in enumerate(weights):

            def of_layer(own, point, h=h):
                return output(weights[:h] + (own,) + weights[h + 1 :], point)

            rows = jacobian[: len(x) * w.numel()].view(len(x), w.numel())
            own_gradients = vmap(grad(of_layer), in_dims=(None, 0))
            for i in range(0, len(x), block):
                rows[i : i + block] = own_gradients(w, x[i : i + block]).flatten(1)
            for i in range(0, len(x), eighth):  # the lower triangle, in strips
                strip = total[i : i + eighth, : i + eighth]
                strip.addmm_(rows[i : i + eighth], rows[: i + eighth].T)
        kernel = total.tril() + total.tril(-1).T
        synchronize(device)
        return {"kernel": kernel}

    offers = {}
    if len(x) * largest * dtype.itemsize < 10e9:
        offers[f"contraction of vmap(grad), layer by layer, {block} points at a time"] = by_layers
    offers[f"contraction of vmap(grad), blocks of {block}"] = in_blocks
    return {name: lambda compute=compute: FunctionRunner(compute, to_numpy) for name, compute in offers.items()}


OFFERS = {
    "factorization": factorization,
    "two_layer_relu": two_layer_relu,
    "fully_connected": fully_connected,
    "cnn": cnn,
    "tangent_kernel": tangent_kernel,
}


def runners(state, device, threads):
    torch.set_num_threads(threads)
    return OFFERS[state.case.kind](state, device)
