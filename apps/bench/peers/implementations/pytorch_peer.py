"""PyTorch by hand: batched products (`bmm`, `baddbmm`) into preallocated outputs, in-place updates, no autograd.

On a GPU a chunk of steps is captured as one CUDA graph, so that launches cost nothing; `torch.compile` fuses the same
steps written without side effects (Inductor: C++ on a CPU, Triton on a GPU), and is captured too. fp32 means fp32: tf32
is off for products and convolutions.

Programs with early stopping leave finished members out at each check (`select`), on the CPU in blocks that fit a cache.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from harness import FunctionRunner, Runner
from workloads import factorization, scalar_map, teacher_table

torch.set_grad_enabled(False)
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


def version():
    return torch.__version__


def accelerator():
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def tensor(array, device):
    return torch.from_numpy(np.array(array, order="C")).to(device)


def to_numpy(value):
    return value.detach().cpu().numpy()


class Steps(Runner):
    """Tensors that `step()` changes in place; on a GPU a chunk of them is one graph launch."""

    def __init__(self, start, step, chunk, device, results):
        self.start, self.now, self.results = start, {k: v.clone() for k, v in start.items()}, results
        self.step, self.chunk, self.device, self.graph = step, chunk, device, None
        began = time.perf_counter()
        self.step(self.now)  # compiles, where the step is compiled
        if device == "cuda":
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self.step(self.now)
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                for _ in range(chunk):
                    self.step(self.now)
        synchronize(device)
        self.compile_s = time.perf_counter() - began

    def reset(self):
        for name, value in self.start.items():
            self.now[name].copy_(value)
        synchronize(self.device)

    def advance(self):
        if self.graph is not None:
            self.graph.replay()
        else:
            for _ in range(self.chunk):
                self.step(self.now)
        synchronize(self.device)

    def result(self):
        return {name: to_numpy(self.now[name]) for name in self.results}


class CompiledSteps(Steps):
    """The same from `function(state) -> state` without side effects, compiled; the new state is copied over the old
    inside the compiled function, where Inductor makes it the output of the last kernel."""

    def __init__(self, start, function, chunk, device, results):
        def step(state):
            for name, value in function(state).items():
                state[name].copy_(value)

        torch.compiler.reset()  # one function, many cases: recompilation has a limit
        super().__init__(start, torch.compile(step, dynamic=False, fullgraph=True), chunk, device, results)


def layer_names(depth):
    return [f"W_{layer + 1}" for layer in range(depth)]


class Blocked(Runner):
    """Several runners, one after the other: blocks of members that stay in cache for a chunk of steps."""

    def __init__(self, make, members, block):
        self.parts = [make(slice(begin, min(begin + block, members))) for begin in range(0, members, block)]
        self.compile_s = sum(part.compile_s for part in self.parts)

    def reset(self):
        for part in self.parts:
            part.reset()

    def advance(self):
        for part in self.parts:
            part.advance()

    def result(self):
        results = [part.result() for part in self.parts]
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


def factorization_start(state, device, rows=slice(None)):
    """Initial tensors, target and mask. RMS scaling needs v, and .99^t for its correction, on the device."""
    start = {name: tensor(state.arrays[name][rows], device) for name in layer_names(state.case["depth"])}
    target = tensor(state.arrays["target"], device)
    if state.case["optimizer"] == "rms_gd":
        start["v"] = torch.zeros(len(start["W_1"]), 1, 1, dtype=target.dtype, device=device)
        start["correction"] = torch.ones(1, dtype=target.dtype, device=device)
    return start, target, tensor(state.arrays["mask"], device) if "mask" in state.arrays else None


def factorization_eager(state, device, rows=slice(None)):
    case, names = state.case, layer_names(state.case["depth"])
    start, target, mask = factorization_start(state, device, rows)
    shape, depth = start["W_1"].shape, case["depth"]
    products = [torch.empty_like(start["W_1"]) for _ in range(depth - 1)]
    gradients = [torch.empty_like(start["W_1"]) for _ in range(depth)]
    spare = torch.empty_like(start["W_1"])
    rate = case["learning_rate"]
    rms = case["optimizer"] == "rms_gd"

    def step(now):
        weights = [now[name] for name in names]
        below = weights[0]
        for layer in range(1, depth - 1):
            below = torch.bmm(weights[layer], below, out=products[layer - 1])
        delta = torch.baddbmm(target, weights[-1], below, beta=-1, out=products[-1])
        if mask is not None:
            delta.mul_(mask)
        other = spare
        for layer in range(depth - 1, 0, -1):
            below = weights[0] if layer == 1 else products[layer - 2]
            if rms:
                torch.bmm(delta, below.mT, out=gradients[layer])
            back = gradients[0] if layer == 1 else other
            torch.bmm(weights[layer].mT, delta, out=back)
            if not rms:
                # No gradient of this layer is needed once its weight has passed the residual on.
                weights[layer].baddbmm_(delta, below.mT, alpha=-rate)
            if layer > 1:
                delta, other = other, delta
        if not rms:
            weights[0].add_(gradients[0], alpha=-rate)
            return
        v, correction = now["v"], now["correction"]
        correction.mul_(factorization.RMS_DECAY)
        v.mul_(factorization.RMS_DECAY)
        for gradient in gradients:
            flat = gradient.view(shape[0], 1, -1)
            v.baddbmm_(flat, flat.mT, alpha=1 - factorization.RMS_DECAY)
        scale = v.div(1 - correction).sqrt_().add_(case["epsilon"]).reciprocal_().mul_(-rate)
        for weight, gradient in zip(weights, gradients):
            weight.addcmul_(gradient, scale)

    return Steps(start, step, case.chunk, device, names)


def factorization_function(case, target, mask):
    names, rate = layer_names(case["depth"]), case["learning_rate"]

    def function(now):
        weights = [now[name] for name in names]
        partial = [weights[0]]
        for weight in weights[1:]:
            partial.append(weight @ partial[-1])
        delta = partial[-1] - target
        if mask is not None:
            delta = delta * mask
        gradients = [delta] * len(weights)
        for layer in range(len(weights) - 1, 0, -1):
            gradients[layer] = delta @ partial[layer - 1].mT
            delta = weights[layer].mT @ delta
        gradients[0] = delta
        new = {}
        scale = rate
        if case["optimizer"] == "rms_gd":
            norm2 = sum((g * g).sum((1, 2), keepdim=True) for g in gradients)
            new["v"] = factorization.RMS_DECAY * now["v"] + (1 - factorization.RMS_DECAY) * norm2
            new["correction"] = now["correction"] * factorization.RMS_DECAY
            scale = rate / (torch.sqrt(new["v"] / (1 - new["correction"])) + case["epsilon"])
        new.update({name: w - scale * g for name, w, g in zip(names, weights, gradients)})
        return new

    return function


def factorization_compiled(state, device):
    start, target, mask = factorization_start(state, device)
    function = factorization_function(state.case, target, mask)
    return CompiledSteps(start, function, state.case.chunk, device, layer_names(state.case["depth"]))


def factorizations(state, device):
    members = state.case.members
    offers = {"bmm into preallocated outputs": lambda: factorization_eager(state, device)}
    if device == "cpu" and members > 256:
        make = lambda rows: factorization_eager(state, device, rows)
        offers["bmm into preallocated outputs, blocks of 256"] = lambda: Blocked(make, members, 256)
    offers["torch.compile"] = lambda: factorization_compiled(state, device)
    return offers


def entries_start(state, device, rows):
    start = {name: tensor(state.arrays[name][rows], device) for name in ("W_1", "W_2", "W_3")}
    start["t"] = torch.zeros(1, dtype=torch.long, device=device)
    entries = torch.tensor(state.case["entries"], device=device)
    values = torch.tensor(state.case["values"], dtype=start["W_1"].dtype, device=device)
    return start, tensor(state.arrays["indices"][rows].T.astype(np.int64), device), entries, values


def entries_function(state, device, rows=slice(None)):
    start, indices, entries, values = entries_start(state, device, rows)
    case, w = state.case, state.case["width"]
    decay, factor = 1 - case["learning_rate"] * case["weight_decay"], 2 * case["learning_rate"]

    def parts(now):
        """Column and row of the drawn entries, the step length, W_2 column and row W_2."""
        entry = indices.index_select(0, now["t"])[0]
        i, j = entries[entry, 0], entries[entry, 1]
        column = torch.gather(now["W_1"], 2, j[:, None, None].expand(-1, w, 1))
        row = torch.gather(now["W_3"], 1, i[:, None, None].expand(-1, 1, w))
        hidden, back = torch.bmm(now["W_2"], column), torch.bmm(row, now["W_2"])
        step = factor * (values[entry][:, None, None] - torch.bmm(row, hidden))
        return i, j, column, row, hidden, back, step

    def eager(now):
        i, j, column, row, hidden, back, step = parts(now)
        now["W_2"].baddbmm_((step * row).mT, column.mT, beta=decay)
        now["W_1"].mul_(decay).scatter_add_(2, j[:, None, None].expand(-1, w, 1), (step * back).mT)
        now["W_3"].mul_(decay).scatter_add_(1, i[:, None, None].expand(-1, 1, w), (step * hidden).mT)
        now["t"].add_(1)

    def function(now):
        i, j, column, row, hidden, back, step = parts(now)
        one_j = torch.arange(case["size"], device=device) == j[:, None]
        one_i = torch.arange(case["size"], device=device) == i[:, None]
        return {
            "W_1": decay * now["W_1"] + (step * back).mT * one_j[:, None, :],
            "W_2": decay * now["W_2"] + (step * row).mT * column.mT,
            "W_3": decay * now["W_3"] + (step * hidden).mT * one_i[:, :, None],
            "t": now["t"] + 1,
        }

    return start, eager, function


def entries_sgd(state, device):
    results, chunk = ["W_1", "W_2", "W_3"], state.case.chunk

    def eager(rows=slice(None)):
        start, step, _ = entries_function(state, device, rows)
        return Steps(start, step, chunk, device, results)

    def compiled():
        start, _, function = entries_function(state, device)
        return CompiledSteps(start, function, chunk, device, results)

    offers = {"bmm, in place": eager, "torch.compile": compiled}
    if device == "cpu":
        # 16 members' W_2 in fp64 (1.3 MB) per core's L2.
        block = 16 * torch.get_num_threads()
        offers[f"bmm, in place, blocks of {block}"] = lambda: Blocked(eager, state.case.members, block)
    return offers


class EarlyStop(Runner):
    """Members that stop at their own time, block by block."""

    def __init__(self, blocks, out, device):
        self.blocks, self.out, self.device = blocks, out, device

    def advance(self):
        for block in self.blocks:
            block()
        synchronize(self.device)

    def result(self):
        return {name: to_numpy(value) for name, value in self.out.items()}


def until_all_stop(case, live, values, segment, record):
    """`segment(values)` takes `check_every` steps in place and returns (stops, status). A member's values are recorded
    at its first stop; stopped members run on beside the others until they are an eighth, and are then left out."""
    done = torch.zeros_like(live, dtype=torch.bool)
    for step in range(case["check_every"], case["max_steps"] + 1, case["check_every"]):
        stops, status = segment(values)
        if step >= case["max_steps"]:
            stops = torch.ones_like(stops)
        fresh = (stops & ~done).nonzero()[:, 0]
        if not len(fresh):
            continue
        record(live[fresh], step, status[fresh], [value[fresh] for value in values])
        done |= stops
        finished = int(done.sum())
        if finished == len(done):
            return
        if 8 * finished > len(done):
            goes_on = (~done).nonzero()[:, 0]
            live, done, values = live[goes_on], done[goes_on], [value[goes_on] for value in values]


def compiled_segment(function):
    """The number of live members changes: one kernel for all sizes."""
    compiled = torch.compile(function, dynamic=True, fullgraph=True)

    def segment(values):
        *new, stops, status = compiled(*values)
        values[: len(new)] = new
        return stops, status

    return segment


def scalar_function(case):
    def function(x, y, h):
        for _ in range(case["check_every"]):
            move = h * (1 - x * y)
            x, y = x + move * y, y + move * x
        bounded = x * x + y * y < case["far"]
        converged = (1 - x * y).abs() < case["close"]
        status = torch.where(bounded, converged.int(), scalar_map.DIVERGED)
        return x, y, ~bounded | converged, status

    return function


def scalar_segment(case, device):
    one = torch.ones(1, dtype=torch.float64, device=device)

    def segment(values):
        x, y, h = values
        move, spare = torch.empty_like(x), torch.empty_like(x)
        for _ in range(case["check_every"]):
            torch.addcmul(one, x, y, value=-1, out=move)
            move.mul_(h)
            torch.addcmul(x, move, y, out=spare)
            y.addcmul_(move, x)
            x, spare = spare, x
        values[0] = x
        converged = torch.addcmul(one, x, y, value=-1, out=move).abs_() < case["close"]
        bounded = torch.mul(x, x, out=move).addcmul_(y, y) < case["far"]
        return ~bounded | converged, torch.where(bounded, converged.int(), scalar_map.DIVERGED)

    return segment


def scalar_maps(state, device):
    case, members = state.case, state.case.members
    # In a cache on a CPU; all at once on a GPU.
    block = 16384 if device == "cpu" else members

    def make(segment):
        start = [tensor(state.arrays[k].reshape(-1), device) for k in ("W_2", "W_1", "learning_rate")]
        integers = lambda: torch.zeros(members, dtype=torch.int32, device=device)
        out = {
            "W_2": torch.empty(members, 1, 1, dtype=start[0].dtype, device=device),
            "end_step": integers(),
            "status": integers(),
        }
        out["W_1"] = torch.empty_like(out["W_2"])

        def record(at, step, status, values):
            out["W_2"][at, 0, 0], out["W_1"][at, 0, 0], out["status"][at] = values[0], values[1], status
            out["end_step"][at] = step

        def run(begin, end):
            live = torch.arange(begin, end, device=device)
            until_all_stop(case, live, [value[begin:end].clone() for value in start], segment, record)

        blocks = [lambda b=begin: run(b, min(b + block, members)) for begin in range(0, members, block)]
        return EarlyStop(blocks, out, device)

    def compiled():
        torch.compiler.reset()
        began = time.perf_counter()
        segment = compiled_segment(scalar_function(case))
        for size in (100, 1000):
            segment([torch.full((size,), 0.5, dtype=torch.float64, device=device) for _ in range(3)])
        runner = make(segment)
        runner.compile_s = time.perf_counter() - began
        return runner

    offers = {"in place, stopped members left out": lambda: make(scalar_segment(case, device))}
    if device == "cuda":
        # On a CPU Inductor took a minute over the ten unrolled steps and the kernel was half as fast.
        offers["torch.compile, stopped members left out"] = compiled
    return offers


def teacher_function(case, w_star):
    rate = case["learning_rate"] / (2 * math.pi)
    shrink = 1 - rate * (math.pi - 1)

    def function(v, a, a_star, spurious, total):
        for _ in range(case["check_every"]):
            norm2, along = (v * v).sum(1), v @ w_star
            norm = norm2.sqrt()
            cosine = torch.clamp(along / norm, -1, 1)
            rest = math.pi - torch.acos(cosine)
            g = rest * cosine + torch.sqrt(1 - cosine * cosine)
            pull = rate * (a * a_star).sum(1) * rest / norm
            sums = rate * (a.sum(1) - total)
            v = (1 - pull * along / norm2)[:, None] * v + pull[:, None] * w_star
            a = shrink * a + (rate * (g - 1))[:, None] * a_star - sums[:, None]
        phi = torch.acos(torch.clamp(v @ w_star / (v * v).sum(1).sqrt(), -1, 1))
        at_global = (phi < case["close"]) & ((a - a_star).abs().amax(1) < case["close"])
        at_spurious = (math.pi - phi < case["close_angle"]) & ((a - spurious).abs().amax(1) < case["close"])
        status = teacher_table.GLOBAL * at_global.int() + teacher_table.SPURIOUS * at_spurious.int()
        return v, a, at_global | at_spurious, status

    return function


def teacher_tables(state, device):
    """All members of one k together, each with its row of a_star; on a CPU in blocks."""
    case, arrays = state.case, state.arrays
    block = 2048 if device == "cpu" else case.members
    w_star = tensor(arrays["w_star"], device)

    def make(segment):
        out = {
            "v": torch.empty(arrays["v"].shape, dtype=w_star.dtype, device=device),
            "a": torch.zeros(arrays["a"].shape, dtype=w_star.dtype, device=device),
            "end_step": torch.zeros(case.members, dtype=torch.int32, device=device),
            "status": torch.zeros(case.members, dtype=torch.int32, device=device),
        }
        groups = []
        for k, rows in teacher_table.groups(arrays):
            for begin in range(0, len(rows), block):
                at = rows[begin : begin + block]
                cell = arrays["cell"][at]
                start = (arrays["v"][at], arrays["a"][at, :k], arrays["a_star"][cell, :k], arrays["spurious"][cell, :k])
                groups.append((k, tensor(at, device), [tensor(value, device) for value in start]))

        def run(k, live, start):
            def record(at, step, status, values):
                out["v"][at], out["a"][at, :k], out["status"][at] = values[0], values[1], status
                out["end_step"][at] = step

            until_all_stop(case, live, [*start, start[2].sum(1)], segment, record)

        return EarlyStop([lambda g=group: run(*g) for group in groups], out, device)

    function = teacher_function(case, w_star)

    def eager(values):
        *new, stops, status = function(*values)
        values[: len(new)] = new
        return stops, status

    def compiled():
        torch.compiler.reset()
        began = time.perf_counter()
        segment = compiled_segment(function)
        for k, size in ((25, 100), (36, 50)):
            part = [
                tensor(arrays["v"][:size], device),
                *(torch.rand(size, k, dtype=w_star.dtype, device=device) for _ in range(3)),
            ]
            segment([*part, part[1].sum(1)])
        runner = make(segment)
        runner.compile_s = time.perf_counter() - began
        return runner

    # The fast one first: at full scale there is no time for the other.
    return {"torch.compile, stopped members left out": compiled, "eager, stopped members left out": lambda: make(eager)}


def two_layer_relu(state, device):
    case = state.case
    start = {"W_1": tensor(state.arrays["W_1"], device)}
    x, y = tensor(state.arrays["inputs"], device), tensor(state.arrays["labels"], device)
    signs = tensor((state.arrays["W_2"][0, 0] / np.sqrt(case["width"])).astype(case.dtype), device)
    hidden = torch.empty(case["points"], case["width"], dtype=x.dtype, device=device)
    zero = torch.zeros((), dtype=x.dtype, device=device)

    def step(now):
        w = now["W_1"][0]
        torch.mm(x, w.T, out=hidden)
        hidden.clamp_(min=0)
        residual = torch.addmv(y, hidden, signs, beta=-1)
        coefficient = torch.outer(residual, signs)
        torch.where(hidden > 0, coefficient, zero, out=hidden)
        w.addmm_(hidden.T, x, alpha=-case["learning_rate"])

    return {"mm into preallocated outputs": lambda: Steps(start, step, case.chunk, device, ["W_1"])}


def fully_connected(state, device):
    case, depth = state.case, len(state.case["sizes"]) - 1
    names, n, members = layer_names(depth), case["points"], case.members
    start = {name: tensor(state.arrays[name], device) for name in names}
    x, y = tensor(state.arrays["inputs"], device), tensor(state.arrays["labels"], device)
    widths = case["sizes"][1:]
    # The first layer of all members is one product; its columns are (member, unit).
    stacked = torch.empty(n, members * widths[0], dtype=x.dtype, device=device)
    stacked_delta = torch.empty_like(stacked)
    by_member = lambda value: value.view(n, members, widths[0]).transpose(0, 1)
    layers = [by_member(stacked)] + [torch.empty(members, n, w, dtype=x.dtype, device=device) for w in widths[1:]]
    rate = case["learning_rate"]

    def step(now):
        weights = [now[name] for name in names]
        torch.mm(x, weights[0].view(-1, x.shape[1]).T, out=stacked)
        stacked.clamp_(min=0)
        for layer in range(1, depth):
            torch.bmm(layers[layer - 1], weights[layer].mT, out=layers[layer])
            if layer < depth - 1:
                layers[layer].clamp_(min=0)
        delta = layers[-1].sub_(y).mul_(1 / n)
        for layer in range(depth - 1, 0, -1):
            below = torch.bmm(delta, weights[layer])
            weights[layer].baddbmm_(delta.mT, layers[layer - 1], alpha=-rate)
            if layer > 1:
                delta = torch.ops.aten.threshold_backward(below, layers[layer - 1], 0)
            else:
                torch.mul(below, layers[0] > 0, out=by_member(stacked_delta))
        weights[0].view(-1, x.shape[1]).addmm_(stacked_delta.T, x, alpha=-rate)

    def function(now):
        weights = [now[name] for name in names]
        activations = [torch.relu((x @ weights[0].view(-1, x.shape[1]).T).view(n, members, -1).transpose(0, 1))]
        for layer in range(1, depth):
            value = activations[-1] @ weights[layer].mT
            activations.append(torch.relu(value) if layer < depth - 1 else value)
        delta = (activations[-1] - y) * (1 / n)
        new = {}
        for layer in range(depth - 1, 0, -1):
            new[names[layer]] = weights[layer] - rate * (delta.mT @ activations[layer - 1])
            delta = (delta @ weights[layer]) * (activations[layer - 1] > 0)
        gradient = delta.transpose(0, 1).reshape(n, -1).T @ x
        new[names[0]] = weights[0] - rate * gradient.view(weights[0].shape)
        return new

    return {
        "bmm into preallocated outputs": lambda: Steps(start, step, case.chunk, device, names),
        "torch.compile": lambda: CompiledSteps(start, function, case.chunk, device, names),
    }


def cnns(state, device):
    case, n, members = state.case, state.case["points"], state.case.members
    names = ["W_1", "W_2", "W_3"]
    start = {name: tensor(state.arrays[name], device) for name in names}
    images, labels = tensor(state.arrays["images"][:, None], device), tensor(state.arrays["labels"], device)
    columns_1 = torch.nn.functional.unfold(images, 3, padding=1, stride=2)  # (n, 9, 196)
    columns_1 = columns_1.transpose(0, 1).reshape(9, -1).contiguous()
    rate = case["learning_rate"]

    def dense(features, now):
        """Delta of the features and the gradient of W_3, for features (member, n, 784)."""
        delta = torch.baddbmm(labels, features, now["W_3"].mT, beta=-1).mul_(1 / n)
        return torch.bmm(delta, now["W_3"]), torch.bmm(delta.mT, features)

    def im2col(now):
        w1, w2, w3 = (now[name] for name in names)
        hidden_1 = torch.mm(w1.view(-1, 9), columns_1).clamp_(min=0).view(members, 8, n, 196)
        maps = hidden_1.transpose(1, 2).reshape(members * n, 8, 14, 14)
        columns_2 = torch.nn.functional.unfold(maps, 3, padding=1, stride=2).view(members, n, 72, 49)
        hidden_2 = torch.matmul(w2[:, None], columns_2).clamp_(min=0)
        features = hidden_2.view(members, n, 784)
        below, d3 = dense(features, now)
        delta_2 = torch.ops.aten.threshold_backward(below, features, 0).view(members * n, 16, 49)
        d2 = torch.bmm(delta_2, columns_2.view(-1, 72, 49).mT).view(members, n, 16, 72).sum(1)
        columns = torch.matmul(w2.mT[:, None], delta_2.view(members, n, 16, 49)).view(-1, 72, 49)
        back = torch.nn.functional.fold(columns, (14, 14), 3, padding=1, stride=2)
        back = back.view(members, n, 8, 196).transpose(1, 2).reshape(members * 8, -1)
        delta_1 = torch.ops.aten.threshold_backward(back, hidden_1.view(members * 8, -1), 0)
        w1.view(-1, 9).addmm_(delta_1, columns_1.T, alpha=-rate)
        w2.add_(d2, alpha=-rate)
        w3.add_(d3, alpha=-rate)

    def grouped(now):
        """Members as groups of one convolution, (n, member * channel, row, column)."""
        w1, w2, w3 = (now[name] for name in names)
        k1, k2 = w1.view(members * 8, 1, 3, 3), w2.view(members * 16, 8, 3, 3)
        hidden_1 = torch.conv2d(images, k1, stride=2, padding=1).clamp_(min=0)
        hidden_2 = torch.conv2d(hidden_1, k2, stride=2, padding=1, groups=members).clamp_(min=0)
        features = hidden_2.view(n, members, 784).transpose(0, 1)
        below, d3 = dense(features, now)
        delta_2 = torch.ops.aten.threshold_backward(below, features, 0)
        delta_2 = delta_2.transpose(0, 1).reshape(hidden_2.shape)
        backward = torch.ops.aten.convolution_backward
        geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0])
        back, d2, _ = backward(delta_2, hidden_1, k2, None, *geometry, members, [True, True, False])
        delta_1 = torch.ops.aten.threshold_backward(back, hidden_1, 0)
        _, d1, _ = backward(delta_1, images, k1, None, *geometry, 1, [False, True, False])
        w1.view_as(d1).add_(d1, alpha=-rate)
        w2.view_as(d2).add_(d2, alpha=-rate)
        w3.add_(d3, alpha=-rate)

    return {
        "im2col and products": lambda: Steps(start, im2col, case.chunk, device, names),
        "grouped convolutions": lambda: Steps(start, grouped, case.chunk, device, names),
    }


def one_shot(compute, device):
    def timed():
        value = compute()
        synchronize(device)
        return value

    return lambda: FunctionRunner(timed, to_numpy)


def svd(state, device):
    matrices = tensor(state.arrays["matrices"], device)
    if state.case["job"] == "values":
        offers = {"linalg.svdvals": lambda driver=None: {"values": torch.linalg.svdvals(matrices, driver=driver)}}
    else:
        offers = {
            "linalg.svd": lambda driver=None: dict(
                zip(("left", "values", "right"), torch.linalg.svd(matrices, driver=driver))
            )
        }
    name, compute = next(iter(offers.items()))
    if device == "cpu":
        return {name: one_shot(compute, device)}
    return {
        f"{name}, {driver}": one_shot(lambda driver=driver: compute(driver), device)
        for driver in ("gesvdj", "gesvda", "gesvd")
    }


def least_eigenvalue(state, device):
    matrices = tensor(state.arrays["matrices"], device)
    return {"linalg.eigvalsh": one_shot(lambda: {"least": torch.linalg.eigvalsh(matrices)[:, 0]}, device)}


def pattern_gram(state, device):
    patterns = tensor(state.arrays["patterns"], device)
    floats, bytes_ = patterns.float(), patterns.to(torch.int8)
    transposed = bytes_.T.contiguous() if device == "cpu" else bytes_.T
    return {
        "mm of fp32": one_shot(lambda: {"counts": floats @ floats.T}, device),
        "_int_mm of int8": one_shot(lambda: {"counts": torch._int_mm(bytes_, transposed)}, device),
    }


def tangent_kernel(state, device):
    weights = [tensor(state.arrays[f"W_{layer}"][0], device) for layer in range(1, state.case["depth"] + 2)]
    x = tensor(state.arrays["inputs"], device)

    def compute():
        inputs, active = [x], []
        for w in weights[:-1]:
            hidden = inputs[-1] @ w.T
            active.append((hidden > 0).to(x.dtype).mul_(math.sqrt(2 / len(w))))
            inputs.append(hidden.clamp_(min=0).mul_(math.sqrt(2 / len(w))))
        total = inputs[-1] @ inputs[-1].T
        back = weights[-1]
        for layer in range(len(active) - 1, -1, -1):
            back = back * active[layer]
            total.addcmul_(inputs[layer] @ inputs[layer].T, back @ back.T)
            if layer:
                back = back @ weights[layer]
        return {"kernel": total}

    return {"layerwise products": one_shot(compute, device)}


OFFERS = {
    "factorization": factorizations,
    "entries_sgd": entries_sgd,
    "scalar_map": scalar_maps,
    "teacher_table": teacher_tables,
    "two_layer_relu": two_layer_relu,
    "fully_connected": fully_connected,
    "cnn": cnns,
    "svd": svd,
    "least_eigenvalue": least_eigenvalue,
    "pattern_gram": pattern_gram,
    "tangent_kernel": tangent_kernel,
}


def runners(state, device, threads):
    torch.set_num_threads(threads)
    return OFFERS[state.case.kind](state, device)
