"""How many hidden units two points activate together: C = S S^T for 0/1 activation patterns S (n, m), the exact integer
part of the two-layer ReLU Gram matrix (overparam.md).

Arrays: patterns (n, m) of 0 and 1 (uint8). Result: counts (n, n), exact. A peer may convert the patterns to the type it
likes before the clock starts: the row measures the product.
"""

from __future__ import annotations

import numpy as np

from harness import Comparison
from state import Case


def cases(scale):
    n, m = {"quick": (200, 2000), "full": (1000, 16000)}[scale]
    return [Case("pattern_gram", "pattern-gram", 1, "f32", {"points": n, "width": m, "seed": 23}, unit="products/s")]


def generate(case):
    rng = np.random.default_rng(case["seed"])
    return {"patterns": rng.integers(2, size=(case["points"], case["width"]), dtype=np.uint8)}


def reference(case, arrays):
    patterns = arrays["patterns"].astype(np.float64)
    return {"counts": patterns @ patterns.T}


def compare(case, arrays, result, after):
    """The lower triangle, exactly: a symmetric product need not fill both."""
    got, expected = np.tril(np.asarray(result["counts"], dtype=np.float64)), np.tril(after["counts"])
    worst = float(np.max(np.abs(got - expected)) / np.max(expected))
    return Comparison(worst == 0.0, worst, 0.0, "lower triangle, exact")


def units(case, result):
    return 1


def flops(case):
    """A symmetric product: n (n + 1) m."""
    return case["points"] * (case["points"] + 1) * case["width"]


def bytes_moved(case):
    n, m = case["points"], case["width"]
    return (n * m + n * n) * case.dtype.itemsize
