"""NumPy as its experts write it: stacked `matmul` into preallocated outputs, in-place arithmetic, blocks of members
that stay in a core's cache for a whole chunk of steps, and a thread per block (NumPy lets go of the interpreter inside
its loops). Where one product does for all members (shared inputs), it is one product through BLAS.
"""

from __future__ import annotations

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from harness import FunctionRunner, Runner
from workloads import cnn, factorization, scalar_map, teacher_table

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    threadpool_limits = None


def version():
    return np.__version__


def one_blas_thread():
    """Inside a loop over blocks the threads are ours; without threadpoolctl BLAS decides by size."""
    return threadpool_limits(1, "blas") if threadpool_limits else contextlib.nullcontext()


def blocks(members, block):
    return [slice(start, min(start + block, members)) for start in range(0, members, block)]


class BlockRunner(Runner):
    """Weights that `train(rows)` takes through a chunk of steps for one block of members."""

    def __init__(self, state, names, block, threads):
        self.case = state.case
        self.start = [np.ascontiguousarray(state.arrays[name]) for name in names]
        self.names = names
        self.weights = [start.copy() for start in self.start]
        self.blocks = blocks(state.case.members, block)
        self.pool = ThreadPoolExecutor(threads)

    def reset(self):
        for weight, start in zip(self.weights, self.start):
            weight[...] = start

    def advance(self):
        with one_blas_thread():
            list(self.pool.map(self.train, self.blocks))

    def result(self):
        return dict(zip(self.names, self.weights))


class Factorization(BlockRunner):
    # 64 members of three 20x20 factors with partial products and gradients: 1.7 MB in fp64, the size of an L2.
    BLOCK = 64

    def __init__(self, state, threads):
        case = state.case
        block = min(self.BLOCK, math.ceil(case.members / threads))
        super().__init__(state, [f"W_{layer + 1}" for layer in range(case["depth"])], block, threads)
        self.target, self.mask = state.arrays["target"], state.arrays.get("mask")

    def train(self, rows):
        case, dtype = self.case, self.case.dtype
        weights = [weight[rows] for weight in self.weights]
        shape, depth = weights[0].shape, len(weights)
        partial = [weights[0]] + [np.empty(shape, dtype) for _ in range(depth - 1)]
        gradient = [np.empty(shape, dtype) for _ in range(depth)]
        spare = np.empty(shape, dtype)
        rms = case["optimizer"] == "rms_gd"
        learning_rate = dtype.type(case["learning_rate"])
        v = np.zeros(shape[0], dtype)
        for t in range(case.chunk):
            for layer in range(1, depth):
                np.matmul(weights[layer], partial[layer - 1], out=partial[layer])
            delta = partial[-1]
            delta -= self.target
            if self.mask is not None:
                delta *= self.mask
            for layer in range(depth - 1, 0, -1):
                np.matmul(delta, partial[layer - 1].transpose(0, 2, 1), out=gradient[layer])
                back = gradient[0] if layer == 1 else spare
                np.matmul(weights[layer].transpose(0, 2, 1), delta, out=back)
                # The product below this layer has been used: its memory serves for the next delta.
                if layer > 1:
                    delta, spare = spare, delta
            if rms:
                v *= factorization.RMS_DECAY
                for g in gradient:
                    flat = g.reshape(shape[0], 1, -1)
                    v += (1 - factorization.RMS_DECAY) * np.matmul(flat, flat.transpose(0, 2, 1))[:, 0, 0]
                scale = np.sqrt(v / (1 - factorization.RMS_DECAY ** (t + 1))) + case["epsilon"]
                scale = (learning_rate / scale)[:, None, None].astype(dtype)
            else:
                scale = learning_rate
            for weight, g in zip(weights, gradient):
                g *= scale
                weight -= g
            if depth > 2:
                partial[-1], spare = (delta, spare) if delta is not partial[-1] else (partial[-1], spare)


class EntriesSgd(BlockRunner):
    # Eight members' W_2 (80 kB each in fp64) and their update fit in an L2.
    BLOCK = 8

    def __init__(self, state, threads):
        super().__init__(state, ["W_1", "W_2", "W_3"], self.BLOCK, threads)
        case = state.case
        self.indices = state.arrays["indices"]
        self.entries = np.array(case["entries"])
        self.values = np.array(case["values"], case.dtype)

    def train(self, rows):
        case, dtype = self.case, self.case.dtype
        w1, w2, w3 = (weight[rows] for weight in self.weights)
        count = len(w2)
        member, update = np.arange(count), np.empty_like(w2)
        hidden, back = np.empty((count, w2.shape[1], 1), dtype), np.empty((count, 1, w2.shape[1]), dtype)
        decay = dtype.type(1 - case["learning_rate"] * case["weight_decay"])
        factor = dtype.type(2 * case["learning_rate"])
        for t in range(case.chunk):
            entry = self.indices[rows, t]
            i, j = self.entries[entry, 0], self.entries[entry, 1]
            column, row = w1[member, :, j], w3[member, i, :]
            np.matmul(w2, column[:, :, None], out=hidden)
            np.matmul(row[:, None, :], w2, out=back)
            residual = self.values[entry] - np.matmul(row[:, None, :], hidden)[:, 0, 0]
            step = (factor * residual)[:, None]
            np.multiply((step * row)[:, :, None], column[:, None, :], out=update)
            w1 *= decay
            w2 *= decay
            w3 *= decay
            w2 += update
            w1[member, :, j] += step * back[:, 0, :]
            w3[member, i, :] += step * hidden[:, :, 0]


class ScalarMap(Runner):
    # Six arrays of 8192 doubles: 400 kB, inside an L2 with room for the temporaries of the test.
    BLOCK = 8192

    def __init__(self, state, threads):
        self.case = state.case
        self.start = [np.ascontiguousarray(state.arrays[k].reshape(-1)) for k in ("W_2", "W_1", "learning_rate")]
        self.x, self.y = self.start[0].copy(), self.start[1].copy()
        self.end_step, self.status = np.zeros(len(self.x), np.int32), np.zeros(len(self.x), np.int32)
        self.blocks = blocks(len(self.x), self.BLOCK)
        self.pool = ThreadPoolExecutor(threads)

    def advance(self):
        # The error state is a context variable: a pool's threads do not inherit it, so each block sets its own.
        list(self.pool.map(self.train, self.blocks))

    def train(self, rows):
        case = self.case
        x, y, h = (array[rows].copy() for array in self.start)
        live = np.arange(rows.start, rows.stop)
        a, b = np.empty_like(x), np.empty_like(x)
        with np.errstate(all="ignore"):
            for step in range(case["check_every"], case["max_steps"] + 1, case["check_every"]):
                for _ in range(case["check_every"]):
                    np.multiply(x, y, out=a)
                    np.subtract(1, a, out=a)
                    a *= h
                    np.multiply(a, y, out=b)
                    a *= x
                    x += b
                    y += a
                np.multiply(x, y, out=a)
                np.subtract(1, a, out=a)
                np.abs(a, out=a)
                converged = a < case["close"]
                np.multiply(x, x, out=a)
                np.multiply(y, y, out=b)
                a += b
                goes_on = a < case["far"]
                diverged = ~goes_on
                goes_on &= ~converged
                last = step >= case["max_steps"]
                if not last and goes_on.all():
                    continue
                stops = ~goes_on if not last else np.ones_like(goes_on)
                at = live[stops]
                self.x[at], self.y[at], self.end_step[at] = x[stops], y[stops], step
                fate = np.where(converged, scalar_map.CONVERGED, scalar_map.BOUNDED)
                self.status[at] = np.where(diverged, scalar_map.DIVERGED, fate)[stops]
                if last:
                    return
                x, y, h, live = x[goes_on], y[goes_on], h[goes_on], live[goes_on]
                a, b = a[: len(x)], b[: len(x)]
                if not len(live):
                    return

    def result(self):
        shape = (-1, 1, 1)
        return {
            "W_2": self.x.reshape(shape),
            "W_1": self.y.reshape(shape),
            "end_step": self.end_step,
            "status": self.status,
        }


class TeacherTable(Runner):
    """Cell by cell, so that a . a* and sum(a) of all members are one product with a (k, 2) matrix."""

    # Beyond a thousand members a block of 100 patches leaves the cache; far below it the interpreter is the floor.
    BLOCK = 1024

    def __init__(self, state, threads):
        self.case, self.arrays = state.case, state.arrays
        self.v, self.a = state.arrays["v"].copy(), state.arrays["a"].copy()
        members = state.case.members
        self.end_step, self.status = np.zeros(members, np.int32), np.zeros(members, np.int32)
        edges = np.flatnonzero(np.diff(state.arrays["cell"], prepend=-1, append=-1))
        self.blocks = [
            slice(start + block.start, start + block.stop)
            for start, stop in zip(edges[:-1], edges[1:])
            for block in blocks(stop - start, self.BLOCK)
        ]
        self.pool = ThreadPoolExecutor(threads)

    def advance(self):
        with one_blas_thread():
            list(self.pool.map(self.train, self.blocks))

    def train(self, rows):
        case, arrays = self.case, self.arrays
        cell = arrays["cell"][rows.start]
        k = arrays["patches"][cell]
        w_star, a_star, spurious = arrays["w_star"], arrays["a_star"][cell, :k], arrays["spurious"][cell, :k]
        pair = np.stack([a_star, np.ones(k)], axis=1)
        total = a_star.sum()
        v, a = arrays["v"][rows].copy(), arrays["a"][rows, :k].copy()
        live = np.arange(rows.start, rows.stop)
        rate = case["learning_rate"] / (2 * np.pi)
        shrink = 1 - rate * (np.pi - 1)
        spare = np.empty_like(a)
        for step in range(case["check_every"], case["max_steps"] + 1, case["check_every"]):
            for _ in range(case["check_every"]):
                products = a @ pair
                along = v @ w_star
                norm2 = np.einsum("ij,ij->i", v, v)
                norm = np.sqrt(norm2)
                cosine = np.clip(along / norm, -1, 1)
                rest = np.pi - np.arccos(cosine)
                g = rest * cosine + np.sqrt(1 - cosine * cosine)
                pull = rate * products[:, 0] * rest / norm
                v *= (1 - pull * along / norm2)[:, None]
                v += pull[:, None] * w_star
                np.multiply((rate * (g - 1))[:, None], a_star, out=spare)
                spare -= (rate * (products[:, 1] - total))[:, None]
                a *= shrink
                a += spare
            phi = teacher_table.angles(v, w_star)
            near_zero, near_pi = phi < case["close"], np.pi - phi < case["close_angle"]
            at_global, at_spurious = near_zero, near_pi
            if near_zero.any():
                at_global = near_zero.copy()
                at_global[near_zero] = np.max(np.abs(a[near_zero] - a_star), axis=1) < case["close"]
            if near_pi.any():
                at_spurious = near_pi.copy()
                at_spurious[near_pi] = np.max(np.abs(a[near_pi] - spurious), axis=1) < case["close"]
            stops = at_global | at_spurious
            if step >= case["max_steps"]:
                stops[:] = True
            if not stops.any():
                continue
            at = live[stops]
            self.v[at], self.a[at, :k], self.end_step[at] = v[stops], a[stops], step
            self.status[at] = np.where(
                at_global, teacher_table.GLOBAL, np.where(at_spurious, teacher_table.SPURIOUS, 0)
            )[stops]
            goes_on = ~stops
            v, a, live = v[goes_on], a[goes_on], live[goes_on]
            spare = spare[: len(a)]
            if not len(live):
                return

    def result(self):
        return {"v": self.v, "a": self.a, "end_step": self.end_step, "status": self.status}


class TwoLayerRelu(Runner):
    def __init__(self, state, threads):
        case, arrays = state.case, state.arrays
        self.case, self.start = case, arrays["W_1"][0]
        self.w = self.start.copy()
        self.x, self.y = arrays["inputs"], arrays["labels"]
        self.signs = (arrays["W_2"][0, 0] / np.sqrt(case["width"])).astype(case.dtype)
        self.hidden = np.empty((case["points"], case["width"]), case.dtype)
        self.gradient = np.empty_like(self.w)

    def reset(self):
        self.w[...] = self.start

    def advance(self):
        minus_rate = self.case.dtype.type(-self.case["learning_rate"])
        for _ in range(self.case.chunk):
            np.matmul(self.x, self.w.T, out=self.hidden)
            np.maximum(self.hidden, 0, out=self.hidden)
            residual = self.hidden @ self.signs - self.y
            np.multiply(self.hidden > 0, (minus_rate * residual)[:, None], out=self.hidden)
            np.matmul(self.hidden.T, self.x, out=self.gradient)
            self.gradient *= self.signs[:, None]
            self.w += self.gradient

    def result(self):
        return {"W_1": self.w[None]}


class FullyConnected(BlockRunner):
    def __init__(self, state, threads):
        case = state.case
        depth = len(case["sizes"]) - 1
        # Activations and deltas of a block: within an L2 for the tiny nets, products of useful size for the wide ones.
        per_member = 2 * case["points"] * sum(case["sizes"][1:]) * case.dtype.itemsize
        block = max(4, min(2**20 // per_member, math.ceil(case.members / threads)))
        super().__init__(state, [f"W_{layer + 1}" for layer in range(depth)], min(block, case.members), threads)
        self.x, self.y = state.arrays["inputs"], state.arrays["labels"]

    def train(self, rows):
        case, dtype = self.case, self.case.dtype
        weights = [weight[rows] for weight in self.weights]
        count, n, depth = len(weights[0]), len(self.x), len(weights)
        # The first layer's outputs of all members are one product; (n, member, out) is how it comes out.
        stacked = np.empty((n, count * weights[0].shape[1]), dtype)
        layers = [stacked.reshape(n, count, -1).transpose(1, 0, 2)]
        layers += [np.empty((count, n, weight.shape[1]), dtype) for weight in weights[1:]]
        deltas = [np.empty_like(stacked).reshape(n, count, -1).transpose(1, 0, 2)]
        deltas += [np.empty_like(layer) for layer in layers[1:]]
        gradients = [np.empty_like(weight) for weight in weights]
        first = weights[0].reshape(-1, weights[0].shape[2])
        minus_rate = dtype.type(-case["learning_rate"])
        for _ in range(case.chunk):
            np.matmul(self.x, first.T, out=stacked)
            for layer in range(1, depth):
                np.maximum(layers[layer - 1], 0, out=layers[layer - 1])
                np.matmul(layers[layer - 1], weights[layer].transpose(0, 2, 1), out=layers[layer])
            np.subtract(layers[-1], self.y, out=deltas[-1])
            deltas[-1] *= minus_rate / dtype.type(n)
            for layer in range(depth - 1, 0, -1):
                np.matmul(deltas[layer].transpose(0, 2, 1), layers[layer - 1], out=gradients[layer])
                np.matmul(deltas[layer], weights[layer], out=deltas[layer - 1])
                deltas[layer - 1] *= layers[layer - 1] > 0
            np.matmul(deltas[0].transpose(1, 0, 2).reshape(n, -1).T, self.x, out=gradients[0].reshape(first.shape))
            for weight, gradient in zip(weights, gradients):
                weight += gradient


class Cnn(BlockRunner):
    """im2col once for the shared images; channels before images, so that each layer is one product per member."""

    BLOCK = 4

    def __init__(self, state, threads):
        super().__init__(state, ["W_1", "W_2", "W_3"], min(self.BLOCK, state.case.members), threads)
        self.labels = state.arrays["labels"]
        columns = cnn.patches(state.arrays["images"][:, None])
        self.columns = np.ascontiguousarray(columns.transpose(1, 0, 2).reshape(9, -1))

    def train(self, rows):
        case, dtype = self.case, self.case.dtype
        w1, w2, w3 = (weight[rows] for weight in self.weights)
        count, n = len(w1), case["points"]
        minus_rate = dtype.type(-case["learning_rate"])
        for _ in range(case.chunk):
            hidden_1 = np.matmul(w1.reshape(-1, 9), self.columns)
            np.maximum(hidden_1, 0, out=hidden_1)
            maps = hidden_1.reshape(count, 8, n, 14, 14)
            columns_2 = self.taps(maps).reshape(count, 72, n * 49)
            hidden_2 = np.matmul(w2, columns_2)
            np.maximum(hidden_2, 0, out=hidden_2)
            features = np.ascontiguousarray(hidden_2.reshape(count, 16, n, 49).transpose(0, 2, 1, 3)).reshape(
                count, n, 784
            )
            delta = np.matmul(features, w3.transpose(0, 2, 1))
            delta -= self.labels
            delta *= minus_rate / dtype.type(n)
            d3 = np.matmul(delta.transpose(0, 2, 1), features)
            delta_2 = np.matmul(delta, w3)
            delta_2 *= features > 0
            delta_2 = np.ascontiguousarray(delta_2.reshape(count, n, 16, 49).transpose(0, 2, 1, 3)).reshape(
                count, 16, n * 49
            )
            d2 = np.matmul(delta_2, columns_2.transpose(0, 2, 1))
            back = np.matmul(w2.transpose(0, 2, 1), delta_2).reshape(count, 8, 9, n, 49)
            delta_1 = cnn.scatter_patches(back.transpose(0, 3, 1, 2, 4).reshape(count, n, 72, 49), 8, 14)
            delta_1 = np.ascontiguousarray(delta_1.transpose(0, 2, 1, 3, 4)).reshape(hidden_1.shape)
            delta_1 *= hidden_1 > 0
            w1 += np.matmul(delta_1, self.columns.T).reshape(w1.shape)
            w2 += d2
            w3 += d3

    @staticmethod
    def taps(maps):
        """(member, channel, n, 14, 14) -> (member, channel, 9, n, 7, 7)."""
        padded = np.pad(maps, [(0, 0)] * 3 + [(1, 1), (1, 1)])
        return np.stack([padded[..., u : u + 14 : 2, v : v + 14 : 2] for u in range(3) for v in range(3)], axis=2)


def svd(state, threads):
    matrices = state.arrays["matrices"]
    if state.case["job"] == "values":
        return FunctionRunner(lambda: {"values": np.linalg.svd(matrices, compute_uv=False)})
    return FunctionRunner(lambda: dict(zip(("left", "values", "right"), np.linalg.svd(matrices))))


def least_eigenvalue(state, threads):
    matrices = state.arrays["matrices"]
    return FunctionRunner(lambda: {"least": np.linalg.eigvalsh(matrices)[:, 0]})


def pattern_gram(state, threads):
    patterns = state.arrays["patterns"].astype(np.float32)
    return FunctionRunner(lambda: {"counts": patterns @ patterns.T})


def tangent(state, threads):
    weights = [state.arrays[f"W_{layer}"][0] for layer in range(1, state.case["depth"] + 2)]
    x, root = state.arrays["inputs"], [state.case.dtype.type(np.sqrt(2 / len(w))) for w in weights]

    def kernel():
        inputs, active = [x], []
        for w, scale in zip(weights[:-1], root):
            hidden = inputs[-1] @ w.T
            active.append(hidden > 0)
            np.maximum(hidden, 0, out=hidden)
            hidden *= scale
            inputs.append(hidden)
        total = inputs[-1] @ inputs[-1].T
        back = np.broadcast_to(weights[-1], inputs[-1].shape)
        for layer in range(len(active) - 1, -1, -1):
            back = back * active[layer]
            back *= root[layer]
            products = inputs[layer] @ inputs[layer].T
            products *= back @ back.T
            total += products
            if layer:
                back = back @ weights[layer]
        return {"kernel": total}

    return FunctionRunner(kernel)


OFFERS = {
    "factorization": {"matmul in blocks, threads": Factorization},
    "entries_sgd": {"matmul in blocks, threads": EntriesSgd},
    "scalar_map": {"in-place, blocks, threads": ScalarMap},
    "teacher_table": {"in-place, by cell, threads": TeacherTable},
    "two_layer_relu": {"matmul": TwoLayerRelu},
    "fully_connected": {"matmul in blocks, threads": FullyConnected},
    "cnn": {"im2col, matmul in blocks, threads": Cnn},
    "svd": {"linalg.svd on the stack": svd},
    "least_eigenvalue": {"linalg.eigvalsh on the stack": least_eigenvalue},
    "pattern_gram": {"S @ S.T (syrk)": pattern_gram},
    "tangent_kernel": {"layerwise products": tangent},
}


def runners(state, device, threads):
    offers = OFFERS[state.case.kind]
    return {variant: (lambda make=make: make(state, threads)) for variant, make in offers.items()}
