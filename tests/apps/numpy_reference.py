"""An independent implementation, in NumPy, of what the program trains: held against the program's own records.

    numpy_reference.py PROGRAM FOLDER [CASE ...]

For each case (numpy_reference_cases.py) it has the program write the problem (`data generate`), run the experiment with the
probes train_loss and parameters, and then goes from the recorded start by itself: own random numbers (Philox4x32-10
after Salmon et al. 2011), own products, own updates. Parameters and losses must agree to 1e-9 relative over 1000 steps.
Prints one line per case; exit code 1 when any disagrees, 77 when a module is missing.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tomllib
from pathlib import Path
from statistics import NormalDist

try:
    import netCDF4
    import numpy as np
except ImportError as missing:
    print(missing)
    sys.exit(77)

from numpy_reference_cases import CASES

TOLERANCE = 1e-9  # relative; the cases contract, so that rounding of 1e-16 a step stays near 1e-13


# --- random numbers ----------------------------------------------------------------------------------------------------


def stream_number(name: str) -> int:
    value = 0xCBF29CE484222325
    for character in name.encode():
        value = ((value ^ character) * 0x100000001B3) % 2**64
    return value


def philox(counter, key):
    """Philox4x32-10: four words of 32 bits from a counter of four and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second % 2**32, (first >> 32) ^ c3 ^ k1, first % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def bits(seed: int, stream: str, index: int) -> int:
    number, block = stream_number(stream), index // 2
    words = philox((block % 2**32, block >> 32, number % 2**32, number >> 32), (seed % 2**32, seed >> 32))
    low, high = words[2 * (index % 2)], words[2 * (index % 2) + 1]
    return high << 32 | low


def uniform(seed, stream, index) -> float:
    return (bits(seed, stream, index) >> 11 | 1) * 2.0**-53


def normal(seed, stream, index) -> float:
    return NormalDist().inv_cdf(uniform(seed, stream, index))


def normals(seed, stream, first, count):
    return np.array([normal(seed, stream, first + i) for i in range(count)])


# --- the experiment ----------------------------------------------------------------------------------------------------


class Settings:
    """Values by dotted path, from the resolved experiment of the record."""

    def __init__(self, tree):
        self.tree = tree

    def get(self, path, default=None):
        node = self.tree
        for part in path.split("."):
            if not isinstance(node, dict) or part not in node:
                return default
            node = node[part]
        return node


class Schedule:
    """The value of a hyperparameter at a step."""

    def __init__(self, settings: Settings, key: str, default=0.0):
        self.base = settings.get(key, default)
        self.table = settings.get("schedule." + key.split(".")[-1])

    def __call__(self, t: int) -> float:
        s = self.table
        if s is None:
            return self.base
        value, kind = self.base, s.get("kind", "constant")
        if kind in ("piecewise", "periodic"):
            starts = s["at"] if kind == "piecewise" else [sum(s["lengths"][:i]) for i in range(len(s["lengths"]))]
            position = t if kind == "piecewise" else t % sum(s["lengths"])
            for start, level in zip(starts, s["values"]):
                if position >= start:
                    value = level
        elif kind == "power":
            value = self.base * (t + 1.0) ** -s["exponent"]
        elif kind == "cosine":
            value = s["final"] + (self.base - s["final"]) * (1 + np.cos(np.pi * min(t / s["steps"], 1.0))) / 2
        elif kind == "linear":
            value = self.base + (s["final"] - self.base) * min(t / s["steps"], 1.0)
        elif kind == "exponential":
            value = self.base * (s["final"] / self.base) ** min(t / s["steps"], 1.0)
        return value * min(t / s["warmup"], 1.0) if s.get("warmup", 0) else value


class Problem:
    """The objective as a list of terms r_j = <D_j, W> - b_j, f = c sum r_j^2, or f = offset - <W, Q>."""

    def __init__(self, settings: Settings, folder: Path):
        kind = settings.get("objective.kind")
        target = np.load(folder / "target.npy") if (folder / "target.npy").exists() else None
        self.linear = kind == "linear"
        self.offset = settings.get("objective.offset", 0.0)
        self.q = target
        self.terms = 0
        if not self.linear:
            if kind == "sensing":
                self.d = np.load(folder / "measurements.npy")
                self.b = np.load(folder / "values.npy")
            else:
                seen = np.ones(target.shape, bool) if kind == "full" else np.load(folder / "mask.npy") != 0
                self.d = np.array([np.eye(1, target.size, i).reshape(target.shape) for i in np.flatnonzero(seen)])
                self.b = target[seen]
            self.terms = len(self.b)
        self.convention = settings.get("objective.convention", "sum")
        self.c = {"sum": 0.5, "paper": 0.5 / max(self.terms, 1), "weight-decay": 1.0 / max(self.terms, 1)}[self.convention]
        self.shift = 0.0
        if settings.get("objective.shift") == "best_rank":
            rank = min(min(shape) for shape in settings.shapes)
            self.shift = self.c * np.sum(np.linalg.svd(target, compute_uv=False)[rank:] ** 2)

    def loss(self, w):
        """Without penalties; less the shift."""
        if self.linear:
            return self.offset - np.sum(w * self.q)
        return self.c * np.sum((np.tensordot(self.d, w) - self.b) ** 2) - self.shift

    def slope(self, w, drawn=None, noise=None):
        """grad f; of the terms `drawn` alone, scaled up to all; with `noise` on the labels."""
        if self.linear:
            return -self.q
        residual = np.tensordot(self.d, w) - self.b - (0 if noise is None else noise)
        if drawn is None:
            return 2 * self.c * np.tensordot(residual, self.d, 1)
        total = np.zeros_like(w)
        for j in drawn:
            total += residual[j] * self.d[j]
        return 2 * self.c * self.terms / len(drawn) * total


class Net:
    def __init__(self, settings: Settings, problem: Problem, layers):
        self.symmetric = settings.get("model.kind") == "symmetric"
        self.problem, self.layers = problem, layers
        self.l2 = Schedule(settings, "objective.l2")
        self.balance = Schedule(settings, "objective.balance_penalty")

    def chain(self):
        product = self.layers[0]
        for layer in self.layers[1:]:
            product = layer @ product
        return product

    def end(self):
        p = self.chain()
        return p @ p.T if self.symmetric else p

    def l2_factor(self, t):
        """The penalty is factor * ||theta||^2."""
        return self.l2(t) * (1.0 if self.problem.convention == "paper" else 0.5)

    def gap(self):
        u, v = self.layers[1], self.layers[0].T
        return u.T @ u - v.T @ v

    def loss(self, t):
        value = self.problem.loss(self.end()) + self.l2_factor(t) * sum(np.sum(w**2) for w in self.layers)
        if self.balance(t):
            value += self.balance(t) * np.sum(self.gap() ** 2)
        return value

    def gradient(self, t, drawn=None, noise=None):
        g = self.problem.slope(self.end(), drawn, noise)
        if self.symmetric:
            g = (g + g.T) @ self.chain()  # df/dP
        gradients = []
        for h in range(len(self.layers)):
            below = np.eye(self.layers[0].shape[1])
            for layer in self.layers[:h]:
                below = layer @ below
            above = np.eye(self.layers[-1].shape[0])
            for layer in reversed(self.layers[h + 1 :]):
                above = above @ layer
            gradients.append(above.T @ g @ below.T)
        for h, w in enumerate(self.layers):
            gradients[h] = gradients[h] + 2 * self.l2_factor(t) * w
        if self.balance(t):
            u, v, gap = self.layers[1], self.layers[0].T, self.gap()
            gradients[1] = gradients[1] + 4 * self.balance(t) * u @ gap
            gradients[0] = gradients[0] - (4 * self.balance(t) * v @ gap).T
        # The symmetric model descends half of everything (Li, Luo, Lyu 2021).
        return flat(gradients) * (0.5 if self.symmetric else 1.0)

    def move(self, theta):
        position = 0
        for h, w in enumerate(self.layers):
            self.layers[h] = theta[position : position + w.size].reshape(w.shape)
            position += w.size


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays])


# --- optimizers --------------------------------------------------------------------------------------------------------


def shuffled(seed, stream, count, epoch, position):
    """Element `position` of an epoch's permutation of range(count). Up to 16: Fisher and Yates' shuffle by the digits of
    one 64-bit fraction in the radix count, count - 1, ...; more: a Feistel network of 8 rounds on a grid of
    a x b >= count cells, walked until it is back in the range (Black and Rogaway 2002)."""
    if count <= 16:
        fraction, order = bits(seed, stream, epoch), list(range(count))
        for i in range(count):
            fraction *= count - i
            j = i + (fraction >> 64)
            fraction %= 2**64
            order[i], order[j] = order[j], order[i]
        return order[position]
    a = math.isqrt(count)
    a += a * a < count
    b = -(-count // a)
    x = position
    while True:
        left, right = divmod(x, b)
        for turn in range(8):
            half = right if turn % 2 == 0 else left
            drawn = bits(seed, stream, epoch << 19 | turn << 16 | half)
            if turn % 2 == 0:
                left = (left + (drawn * a >> 64)) % a
            else:
                right = (right + (drawn * b >> 64)) % b
        x = left * b + right
        if x < count:
            return x


class Optimizer:
    def __init__(self, settings: Settings, net: Net):
        self.settings, self.net = settings, net
        self.kind = settings.get("optimizer.kind")
        self.rate = Schedule(settings, "optimizer.learning_rate")
        self.seed = settings.get("sgd.seed", settings.get("seed", 0))
        self.state = {}

    def value(self, name, t, default=0.0):
        return Schedule(self.settings, "optimizer." + name, default)(t)

    def noise(self, t):
        sigma, terms = self.value("label_noise", t), self.net.problem.terms
        return sigma * normals(self.seed, "sgd/label_noise", t * terms, terms) if sigma else None

    def step(self, t):
        net, eta, state = self.net, self.rate(t), self.state
        theta = flat(net.layers)
        if self.kind == "sgd_entries":
            g = net.gradient(t, self.drawn(t), self.noise(t))
        elif self.kind == "label_noise":
            g = net.gradient(t, None, self.noise(t))
        else:
            g = net.gradient(t)
        if self.kind == "rms_gd":
            decay = self.value("decay", t)
            state["p"] = decay * state.get("p", 1.0)
            state["v"] = decay * state.get("v", 0.0) + (1 - decay) * np.sum(g**2)
            theta = theta - eta / (np.sqrt(state["v"] / (1 - state["p"])) + self.value("epsilon", t)) * g
        elif self.kind in ("momentum", "nesterov"):
            mu = self.value("momentum", t)
            state["v"] = mu * state.get("v", 0.0) + g
            theta = theta - eta * (state["v"] if self.kind == "momentum" else g + mu * state["v"])
        elif self.kind == "adam":
            b1, b2 = self.value("beta1", t), self.value("beta2", t)
            state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
            state["s"] = b2 * state.get("s", 0.0) + (1 - b2) * g**2
            state["p1"], state["p2"] = b1 * state.get("p1", 1.0), b2 * state.get("p2", 1.0)
            m, s = state["m"] / (1 - state["p1"]), state["s"] / (1 - state["p2"])
            theta = theta - eta * m / (np.sqrt(s) + self.value("epsilon", t))
        elif self.kind == "sign":
            theta = theta - eta * np.sign(g)
        elif self.kind == "langevin":
            xi = normals(self.seed, "sgd/langevin", t * theta.size, theta.size)
            theta = theta - eta * g + np.sqrt(2 * eta * self.value("temperature", t)) * xi
        elif self.kind == "perturbed_gd":
            theta = self.perturbed(t, theta, eta, g)
        else:
            theta = theta - eta * g
        net.move(theta)

    def drawn(self, t):
        batch, terms = self.settings.get("optimizer.batch", 1), self.net.problem.terms
        draws = range(t * batch, (t + 1) * batch)
        if self.settings.get("optimizer.replacement", True):
            return [bits(self.seed, "sgd/entries", q) * terms >> 64 for q in draws]
        return [shuffled(self.seed, "sgd/entries", terms, q // terms, q % terms) for q in draws]

    def perturbed(self, t, theta, eta, g):
        due = t - self.state.get("last", -math.inf) > self.settings.get("optimizer.min_steps", 1)
        if due and np.linalg.norm(g) <= self.value("grad_threshold", t):
            z = normals(self.seed, "sgd/perturbation", t * theta.size, theta.size)
            u = uniform(self.seed, "sgd/perturbation/radius", t)
            radius = self.value("radius", t) * u ** (1 / theta.size)
            theta = theta + radius * z / np.linalg.norm(z)
            self.state["last"] = t
            self.net.move(theta)
            g = self.net.gradient(t)
        return theta - eta * g


# --- comparison --------------------------------------------------------------------------------------------------------


def recorded_parameters(record: Path):
    """[(step, flat parameters)] of the only member."""
    with netCDF4.Dataset(record) as file:
        group = file.groups["family_0"]
        layers = sorted((name for name in group.variables if name.startswith("W_") and name[2:].isdigit()), key=lambda n: int(n[2:]))
        sample = group.variables[layers[0]].dimensions[1]
        steps = file.variables["step" + sample.removeprefix("sample")][:].tolist()
        arrays = [np.ma.filled(group.variables[name][0].astype(float), np.nan) for name in layers]
        losses = np.ma.filled(file.variables["train_loss"][0], np.nan)
        return steps, [[a[i] for a in arrays] for i in range(len(steps))], losses, file.getncattr("experiment")


def run(program, folder: Path, name: str, toml: str):
    file = folder / f"{name}.toml"
    file.write_text(toml)
    for command in (
        [program, "data", "generate", file, folder / f"{name}.problem"],
        [program, "run", file, "--out", folder / name, "--device", "cpu", "--quiet"],
    ):
        done = subprocess.run(list(map(str, command)), text=True, capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
    steps, states, losses, experiment = recorded_parameters(folder / name / "record.nc")
    settings = Settings(tomllib.loads(experiment))
    settings.shapes = [w.shape for w in states[0]]
    problem = Problem(settings, folder / f"{name}.problem")
    net = Net(settings, problem, [w.copy() for w in states[0]])
    optimizer = Optimizer(settings, net)
    worst, at, position = 0.0, 0, 0
    for step, state, loss in zip(steps, states, losses):
        while position < step:
            optimizer.step(position)
            position += 1
        ours, theirs = flat(net.layers), flat(state)
        scale = np.linalg.norm(theirs)
        difference = max(
            np.linalg.norm(ours - theirs) / scale,
            # A shifted loss is a difference of two numbers of the shift's size, and is as exact as those.
            abs(net.loss(step) - loss) / max(abs(loss) + abs(problem.shift), np.finfo(float).eps * scale**2),
        )
        if not difference <= worst:
            worst, at = difference, step
    moved = np.linalg.norm(flat(states[-1]) - flat(states[0])) / np.linalg.norm(flat(states[0]))
    return worst, at, steps[-1], moved


def main():
    program, folder = sys.argv[1], Path(sys.argv[2])
    wanted = sys.argv[3:] or list(CASES)
    failed = 0
    for name in wanted:
        worst, at, steps, moved = run(program, folder, name, CASES[name])
        agrees = worst <= TOLERANCE and moved > 1e-2
        failed += not agrees
        print(f"{'agrees' if agrees else 'DIFFERS'}  {name}: {worst:.1e} at step {at} of {steps}; moved by {moved:.2g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
