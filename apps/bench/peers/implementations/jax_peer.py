"""JAX as its experts write it: `jit(vmap(lax.scan))` of one member's training loop, with `jax.grad` where there is a
loss to differentiate, donated buffers, ahead-of-time compilation timed apart, x64 switched on for fp64 cases only and
products in full fp32 (`default_matmul_precision` highest: a GPU would take tf32).

On a CPU XLA runs a batch of small products on one core. The usual remedy is one host device per core
(`--xla_force_host_platform_device_count`, set by the worker before JAX is imported) and `shard_map` over members; a
second one is to put the member axis last and to write small products as sums of outer products, which XLA fuses and
vectorizes over members. Both are offered where they help.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from harness import FunctionRunner, Runner
from workloads import factorization, scalar_map, teacher_table

jax.config.update("jax_default_matmul_precision", "highest")


def version():
    return jax.__version__


def compile_now(function, *arguments, donate=()):
    began = time.perf_counter()
    compiled = jax.jit(function, donate_argnums=donate).lower(*arguments).compile()
    return compiled, time.perf_counter() - began


class Train(Runner):
    """`chunk(state, data) -> state`, state donated. With `sharded`, both are split along their first axis (members)
    over the host's devices; data that all members share is closed over by `chunk`."""

    def __init__(self, start, chunk, finish, data=(), sharded=False):
        self.finish = finish
        self.place = jax.device_put
        if sharded and len(jax.devices()) > 1:
            mesh = jax.make_mesh((len(jax.devices()),), ("members",))
            spec = PartitionSpec("members")
            self.place = lambda tree: jax.device_put(tree, NamedSharding(mesh, spec))
            chunk = jax.shard_map(chunk, mesh=mesh, in_specs=(spec, spec), out_specs=spec, check_vma=False)
        self.host_start = start
        self.data = self.place(data)
        self.now = self.place(start)
        self.compiled, self.compile_s = compile_now(chunk, self.now, self.data, donate=0)

    def reset(self):
        self.now = jax.block_until_ready(self.place(self.host_start))

    def advance(self):
        self.now = jax.block_until_ready(self.compiled(self.now, self.data))

    def result(self):
        return {name: np.asarray(value) for name, value in self.finish(self.now).items()}


def scan(step, length):
    return lambda state: lax.scan(lambda carry, x: (step(carry, x), None), state, jnp.arange(length))[0]


def divides(members):
    return members % len(jax.devices()) == 0


def layer_names(depth):
    return [f"W_{layer + 1}" for layer in range(depth)]


def outer_sum(a, b):
    """Product over the first two axes, members last: (i, k, m), (k, j, m) -> (i, j, m)."""
    total = a[:, 0, None, :] * b[0, None, :, :]
    for k in range(1, a.shape[1]):
        total = total + a[:, k, None, :] * b[k, None, :, :]
    return total


def factorizations(state):
    case, depth = state.case, state.case["depth"]
    names, rate = layer_names(depth), case["learning_rate"]
    target, mask = jnp.asarray(state.arrays["target"]), state.arrays.get("mask")
    rms = case["optimizer"] == "rms_gd"
    start = [state.arrays[name] for name in names]

    def step_with(product, transpose, target, mask, norm2, spread):
        def step(carry, t):
            weights, v = carry
            partial = [weights[0]]
            for weight in weights[1:]:
                partial.append(product(weight, partial[-1]))
            delta = partial[-1] - target
            if mask is not None:
                delta = delta * mask
            gradients = [None] * depth
            for layer in range(depth - 1, 0, -1):
                gradients[layer] = product(delta, transpose(partial[layer - 1]))
                delta = product(transpose(weights[layer]), delta)
            gradients[0] = delta
            scale = rate
            if rms:
                v = factorization.RMS_DECAY * v + (1 - factorization.RMS_DECAY) * sum(norm2(g) for g in gradients)
                correction = 1 - factorization.RMS_DECAY ** (t + 1).astype(v.dtype)
                scale = spread(rate / (jnp.sqrt(v / correction) + case["epsilon"]))
            return [w - scale * g for w, g in zip(weights, gradients)], v

        return step

    def by_member(weights, _):
        step = step_with(jnp.matmul, jnp.transpose, target, mask, lambda g: jnp.sum(g * g), lambda s: s)
        zero = jnp.zeros((), case.dtype)
        return jax.vmap(lambda member: scan(step, case.chunk)((member, zero))[0])(weights)

    def members_last(block):
        def chunk(weights, _):
            swap = lambda w: w.reshape(-1, block, *w.shape[1:]).transpose(0, 2, 3, 1)
            back = lambda w: w.transpose(0, 3, 1, 2).reshape(-1, *w.shape[1:3])
            step = step_with(
                outer_sum,
                lambda a: a.transpose(1, 0, 2),
                target[:, :, None],
                None if mask is None else mask[:, :, None],
                lambda g: jnp.sum(g * g, axis=(0, 1)),
                lambda s: s,
            )
            zero = jnp.zeros(block, case.dtype)
            trained = lax.map(lambda part: scan(step, case.chunk)((part, zero))[0], [swap(w) for w in weights])
            return [back(w) for w in trained]

        return chunk

    finish = lambda weights: dict(zip(names, weights))
    offers = {"jit(vmap(scan))": lambda: Train(start, by_member, finish)}
    if jax.devices()[0].platform == "cpu":
        # One vector register's worth of members per operand and the block's state in an L1 or L2.
        block = 128 // case.dtype.itemsize
        offers["jit(vmap(scan)), member shards"] = lambda: Train(
            start, by_member, finish, sharded=divides(case.members)
        )
        if case.members % (block * len(jax.devices())) == 0:
            offers[f"members last in blocks of {block}, member shards"] = lambda: Train(
                start, members_last(block), finish, sharded=True
            )
    return offers


def entries_sgd(state):
    case = state.case
    names = ["W_1", "W_2", "W_3"]
    entries, values = jnp.array(case["entries"]), jnp.array(case["values"], case.dtype)
    decay, rate = 1 - case["learning_rate"] * case["weight_decay"], case["learning_rate"]

    def residual2(weights, entry):
        w1, w2, w3 = weights
        i, j = entries[entry]
        return (values[entry] - w3[i] @ (w2 @ w1[:, j])) ** 2

    def by_grad(weights, entry):
        return [decay * w - rate * g for w, g in zip(weights, jax.grad(residual2)(weights, entry))]

    def by_hand(weights, entry):
        w1, w2, w3 = weights
        i, j = entries[entry]
        column, row = w1[:, j], w3[i]
        hidden, back = w2 @ column, row @ w2
        step = 2 * rate * (values[entry] - row @ hidden)
        return [
            (decay * w1).at[:, j].add(step * back),
            decay * w2 + jnp.outer(step * row, column),
            (decay * w3).at[i].add(step * hidden),
        ]

    def chunk_of(step):
        def member(weights, stream):
            return lax.scan(lambda carry, entry: (step(carry, entry), None), weights, stream)[0]

        return jax.vmap(member)

    start = [state.arrays[name] for name in names]
    finish = lambda weights: dict(zip(names, weights))
    stream = state.arrays["indices"]
    sharded = divides(case.members)
    return {
        "jit(vmap(scan)), grad": lambda: Train(start, chunk_of(by_grad), finish, stream),
        "jit(vmap(scan)), by hand": lambda: Train(start, chunk_of(by_hand), finish, stream),
        "jit(vmap(scan)), by hand, member shards": lambda: Train(start, chunk_of(by_hand), finish, stream, sharded),
        # A member after the other keeps its W_2 in cache for a whole chunk of steps.
        "jit(map(scan)), by hand, member shards": lambda: Train(
            start,
            lambda w, s: lax.map(lambda a: lax.scan(lambda c, e: (by_hand(c, e), None), a[0], a[1])[0], (w, s)),
            finish,
            stream,
            sharded,
        ),
    }


def segments_per_look(case, most):
    """How many segments run between two looks of the host: a divisor of their number."""
    segments = case["max_steps"] // case["check_every"]
    return next(look for look in range(min(most, segments), 0, -1) if segments % look == 0)


class Segments(Runner):
    """Early stopping: a compiled segment of `check_every` steps repeated `look` times, in which stopped members stand
    still; then the host takes the finished ones out, in sizes that halve, so that few programs are compiled."""

    def __init__(self, groups, program, case, out, look):
        self.groups, self.program, self.case, self.out, self.look = groups, program, case, out, look
        self.compiled = {}

    def segment(self, values):
        shapes = tuple(value.shape for value in values)
        if shapes not in self.compiled:
            self.compiled[shapes], seconds = compile_now(self.program, *values, donate=())
            self.compile_s += seconds
        return self.compiled[shapes](*values)

    def advance(self):
        for record, values in self.groups:
            self.run(record, values)

    def run(self, record, start):
        members = start[0].shape[-1]
        live = np.arange(members)
        end = jnp.zeros(members, jnp.int32)
        values = [*(jnp.asarray(value) for value in start), end, jnp.zeros(members, jnp.int32), jnp.ones(members, bool)]
        span = self.look * self.case["check_every"]
        for step in range(span, self.case["max_steps"] + 1, span):
            values = list(self.segment(values))
            goes_on = np.asarray(values[-1])
            last = step >= self.case["max_steps"]
            if not last and 2 * np.count_nonzero(goes_on) > len(goes_on):
                continue
            gone = ~goes_on | last
            record(live[gone], [np.asarray(value)[..., gone] for value in values[:-1]])
            if last or not goes_on.any():
                return
            # Half of the members, padded with stopped ones, so that sizes stay powers of two times the first.
            half = (len(goes_on) + 1) // 2
            while half // 2 >= np.count_nonzero(goes_on) and half > 64:
                half = (half + 1) // 2
            order = np.argsort(~goes_on, kind="stable")[:half]
            values = [jnp.take(value, jnp.asarray(order), axis=-1) for value in values]
            live = live[order]

    def result(self):
        return self.out


def repeat_segments(case, look, step, test, unroll):
    """A program of `look` segments: `step(moving, fixed)` -> moving, `test(moving, fixed)` -> (stops, status).
    Unrolled, elementwise steps become one loop over registers; where sums part them it only costs compilation."""

    def program(moving, fixed, end, status, goes_on):
        def segment(carry, _):
            moving, end, status, goes_on = carry
            new = lax.fori_loop(0, case["check_every"], lambda _, now: step(now, fixed), moving, unroll=unroll)
            stops, fate = test(new, fixed)
            moving = [jnp.where(goes_on, a, b) for a, b in zip(new, moving)]
            end = jnp.where(goes_on, end + case["check_every"], end)
            status = jnp.where(goes_on, fate, status)
            return (moving, end, status, goes_on & ~stops), None

        return lax.scan(segment, (moving, end, status, goes_on), None, length=look)[0]

    return program


def scalar_maps(state):
    case, members = state.case, state.case.members

    def step(moving, fixed):
        (x, y), (h,) = moving, fixed
        move = h * (1 - x * y)
        return [x + move * y, y + move * x]

    def test(moving, fixed):
        x, y = moving
        bounded = x * x + y * y < case["far"]
        converged = jnp.abs(1 - x * y) < case["close"]
        return ~bounded | converged, jnp.where(bounded, converged.astype(jnp.int32), scalar_map.DIVERGED)

    look = segments_per_look(case, 10)

    def program(x, y, h, end, status, goes_on):
        (x, y), end, status, goes_on = repeat_segments(case, look, step, test, unroll=True)(
            [x, y], [h], end, status, goes_on
        )
        return x, y, h, end, status, goes_on

    start = [state.arrays[k].reshape(-1) for k in ("W_2", "W_1", "learning_rate")]
    out = {
        "W_2": np.empty((members, 1, 1), case.dtype),
        "W_1": np.empty((members, 1, 1), case.dtype),
        "end_step": np.zeros(members, np.int32),
        "status": np.zeros(members, np.int32),
    }

    def record(at, values):
        x, y, _, end, status = values
        out["W_2"][at, 0, 0], out["W_1"][at, 0, 0], out["end_step"][at], out["status"][at] = x, y, end, status

    def while_loops(block):
        """A while loop per block of pixels, each as long as its slowest pixel."""

        def run(starts, _):
            x, y, h = starts

            def one_block(part):
                x, y, h = part
                zero = jnp.zeros(block, jnp.int32)

                def body(carry):
                    step_number, *rest = carry
                    inner = repeat_segments(case, 1, step, test, unroll=True)([rest[0], rest[1]], [h], *rest[2:])
                    (x, y), *others = inner
                    return (step_number + case["check_every"], x, y, *others)

                def unfinished(carry):
                    return (carry[0] < case["max_steps"]) & carry[-1].any()

                first = (jnp.zeros((), jnp.int32), x, y, zero, zero, jnp.ones(block, bool))
                return lax.while_loop(unfinished, body, first)[1:5]

            parts = [value.reshape(-1, block) for value in (x, y, h)]
            done = lax.map(one_block, tuple(parts))
            return [value.reshape(-1) for value in done]

        finish = lambda r: {
            "W_2": r[0].reshape(-1, 1, 1),
            "W_1": r[1].reshape(-1, 1, 1),
            "end_step": r[2],
            "status": r[3],
        }

        class Once(Train):
            def __init__(self):
                super().__init__(start, run, finish, sharded=divides(members))

        return Once

    offers = {
        "compiled segments, stopped members left out": lambda: Segments([(record, start)], program, case, out, look)
    }
    for block in (40, 1000):
        if members % (block * len(jax.devices())) == 0 and jax.devices()[0].platform == "cpu":
            offers[f"while_loop per block of {block}, member shards"] = while_loops(block)
    return offers


def teacher_tables(state):
    """Members last, (k, member) and (p, member): sums over k then vectorize over members."""
    case, arrays = state.case, state.arrays
    rate = case["learning_rate"] / (2 * np.pi)
    shrink = 1 - rate * (np.pi - 1)
    w_star = jnp.asarray(arrays["w_star"])[:, None]

    def cosine_of(v):
        norm2, along = jnp.sum(v * v, axis=0), jnp.sum(v * w_star, axis=0)
        norm = jnp.sqrt(norm2)
        return norm2, norm, along, jnp.clip(along / norm, -1, 1)

    def step(moving, fixed):
        (v, a), (a_star, _, total) = moving, fixed
        norm2, norm, along, cosine = cosine_of(v)
        rest = np.pi - jnp.arccos(cosine)
        g = rest * cosine + jnp.sqrt(1 - cosine * cosine)
        pull = rate * jnp.sum(a * a_star, axis=0) * rest / norm
        sums = rate * (jnp.sum(a, axis=0) - total)
        return [(1 - pull * along / norm2) * v + pull * w_star, shrink * a + (rate * (g - 1)) * a_star - sums]

    def test(moving, fixed):
        (v, a), (a_star, spurious, _) = moving, fixed
        phi = jnp.arccos(cosine_of(v)[3])
        at_global = (phi < case["close"]) & (jnp.max(jnp.abs(a - a_star), axis=0) < case["close"])
        at_spurious = (np.pi - phi < case["close_angle"]) & (jnp.max(jnp.abs(a - spurious), axis=0) < case["close"])
        fate = jnp.where(at_global, teacher_table.GLOBAL, jnp.where(at_spurious, teacher_table.SPURIOUS, 0))
        return at_global | at_spurious, fate.astype(jnp.int32)

    look = segments_per_look(case, 20)

    def program(v, a, a_star, spurious, total, end, status, goes_on):
        run = repeat_segments(case, look, step, test, unroll=1)
        (v, a), end, status, goes_on = run([v, a], [a_star, spurious, total], end, status, goes_on)
        return v, a, a_star, spurious, total, end, status, goes_on

    out = {
        "v": np.empty(arrays["v"].shape, case.dtype),
        "a": np.zeros(arrays["a"].shape, case.dtype),
        "end_step": np.zeros(case.members, np.int32),
        "status": np.zeros(case.members, np.int32),
    }

    block = 1024 if jax.devices()[0].platform == "cpu" else case.members
    groups = []
    for k, members in teacher_table.groups(arrays):
        for begin in range(0, len(members), block):
            rows = members[begin : begin + block]
            cell = arrays["cell"][rows]
            a_star = arrays["a_star"][cell, :k].T
            start = [
                arrays["v"][rows].T,
                arrays["a"][rows, :k].T,
                a_star,
                arrays["spurious"][cell, :k].T,
                a_star.sum(0),
            ]

            def record(at, values, rows=rows, k=k):
                v, a, _, _, _, end, status = values
                out["v"][rows[at]], out["a"][rows[at], :k] = v.T, a.T
                out["end_step"][rows[at]], out["status"][rows[at]] = end, status

            groups.append((record, start))
    return {"compiled segments, stopped members left out": lambda: Segments(groups, program, case, out, look)}


def two_layer_relu(state):
    case = state.case
    x, y = jnp.asarray(state.arrays["inputs"]), jnp.asarray(state.arrays["labels"])
    signs = jnp.asarray((state.arrays["W_2"][0, 0] / np.sqrt(case["width"])).astype(case.dtype))

    def loss(w):
        return 0.5 * jnp.sum((jax.nn.relu(x @ w.T) @ signs - y) ** 2)

    def member(w):
        return scan(lambda w, _: w - case["learning_rate"] * jax.grad(loss)(w), case.chunk)(w)

    return {
        "jit(vmap(scan)), grad": lambda: Train(
            state.arrays["W_1"], lambda w, _: jax.vmap(member)(w), lambda w: {"W_1": w}
        )
    }


def ensemble(state, loss, names, label="grad", shards=True):
    """Training of a family of nets on shared data: jit(vmap(scan)) of a member's gradient steps."""
    case = state.case

    def step(weights, _):
        return [w - case["learning_rate"] * g for w, g in zip(weights, jax.grad(loss)(weights))]

    start = [state.arrays[name] for name in names]
    chunk = lambda weights, _: jax.vmap(scan(step, case.chunk))(weights)
    finish = lambda weights: dict(zip(names, weights))
    offers = {f"jit(vmap(scan)), {label}": lambda: Train(start, chunk, finish)}
    if shards and jax.devices()[0].platform == "cpu":
        sharded = divides(case.members)
        offers[f"jit(vmap(scan)), {label}, member shards"] = lambda: Train(start, chunk, finish, sharded=sharded)
        # A member after the other: its activations stay in cache, its products are ordinary ones.
        in_turn = lambda weights, _: lax.map(scan(step, case.chunk), weights)
        offers[f"jit(map(scan)), {label}, member shards"] = lambda: Train(start, in_turn, finish, sharded=sharded)
    return offers


def fully_connected(state):
    x, y = jnp.asarray(state.arrays["inputs"]), jnp.asarray(state.arrays["labels"])

    def loss(weights):
        hidden = x
        for w in weights[:-1]:
            hidden = jax.nn.relu(hidden @ w.T)
        return 0.5 * jnp.sum((hidden @ weights[-1].T - y) ** 2) / len(x)

    return ensemble(state, loss, layer_names(len(state.case["sizes"]) - 1))


def cnn(state):
    images, labels = jnp.asarray(state.arrays["images"][:, None]), jnp.asarray(state.arrays["labels"])
    n = len(state.arrays["images"])
    padding = ((1, 1), (1, 1))

    def head(maps, w3):
        return 0.5 * jnp.sum((maps.reshape(n, -1) @ w3.T - labels) ** 2) / n

    def by_convolution(weights):
        w1, w2, w3 = weights
        hidden = jax.nn.relu(lax.conv(images, w1.reshape(8, 1, 3, 3), (2, 2), padding))
        return head(jax.nn.relu(lax.conv(hidden, w2.reshape(16, 8, 3, 3), (2, 2), padding)), w3)

    def patches(maps):
        """(n, channels, side, side) -> (n, channels * 9, positions) by strided slices, which XLA fuses."""
        side = maps.shape[-1]
        padded = jnp.pad(maps, ((0, 0), (0, 0), *padding))
        taps = [padded[:, :, u : u + side : 2, v : v + side : 2] for u in range(3) for v in range(3)]
        return jnp.stack(taps, axis=2).reshape(n, -1, (side // 2) ** 2)

    columns = patches(images)

    def by_products(weights):
        w1, w2, w3 = weights
        hidden = jax.nn.relu(w1 @ columns).reshape(n, 8, 14, 14)
        return head(jax.nn.relu(w2 @ patches(hidden)), w3)

    names = ["W_1", "W_2", "W_3"]
    offers = ensemble(state, by_convolution, names, "grad of convolutions", shards=False)
    return offers | ensemble(state, by_products, names, "grad of im2col and products")


def one_shot(compute, *arguments):
    def make():
        placed = [jnp.asarray(argument) for argument in arguments]
        compiled, seconds = compile_now(compute, *placed)
        return FunctionRunner(lambda: jax.block_until_ready(compiled(*placed)), np.asarray, seconds)

    return make


def svd(state):
    if state.case["job"] == "values":
        compute = lambda a: {"values": jnp.linalg.svd(a, compute_uv=False)}
    else:
        compute = lambda a: dict(zip(("left", "values", "right"), jnp.linalg.svd(a, full_matrices=False)))
    return {"linalg.svd": one_shot(compute, state.arrays["matrices"])}


def least_eigenvalue(state):
    return {"linalg.eigvalsh": one_shot(lambda a: {"least": jnp.linalg.eigvalsh(a)[:, 0]}, state.arrays["matrices"])}


def pattern_gram(state):
    patterns = state.arrays["patterns"]
    return {
        "dot of fp32": one_shot(lambda s: {"counts": s @ s.T}, patterns.astype(np.float32)),
        "dot of int8 to int32": one_shot(
            lambda s: {"counts": lax.dot_general(s, s, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32)},
            patterns.astype(np.int8),
        ),
    }


def tangent_kernel(state):
    depth = state.case["depth"]

    def compute(weights, x):
        inputs, active = [x], []
        for w in weights[:-1]:
            hidden = inputs[-1] @ w.T
            active.append(hidden > 0)
            inputs.append(np.sqrt(2 / len(w)).astype(w.dtype) * jax.nn.relu(hidden))
        total = inputs[-1] @ inputs[-1].T
        back = weights[-1]
        for layer in range(depth - 1, -1, -1):
            back = np.sqrt(2 / len(weights[layer])).astype(x.dtype) * back * active[layer]
            total = total + (inputs[layer] @ inputs[layer].T) * (back @ back.T)
            if layer:
                back = back @ weights[layer]
        return {"kernel": total}

    weights = [state.arrays[f"W_{layer}"][0] for layer in range(1, depth + 2)]

    def make():
        placed = [jnp.asarray(w) for w in weights], jnp.asarray(state.arrays["inputs"])
        compiled, seconds = compile_now(compute, *placed)
        return FunctionRunner(lambda: jax.block_until_ready(compiled(*placed)), np.asarray, seconds)

    return {"layerwise products": make}


OFFERS = {
    "factorization": factorizations,
    "entries_sgd": entries_sgd,
    "scalar_map": scalar_maps,
    "teacher_table": teacher_tables,
    "two_layer_relu": two_layer_relu,
    "fully_connected": fully_connected,
    "cnn": cnn,
    "svd": svd,
    "least_eigenvalue": least_eigenvalue,
    "pattern_gram": pattern_gram,
    "tangent_kernel": tangent_kernel,
}


def runners(state, device, threads):
    # Set per case: an fp32 case runs as an fp32 user would run it.
    jax.config.update("jax_enable_x64", state.case.precision == "f64")
    return OFFERS[state.case.kind](state)
