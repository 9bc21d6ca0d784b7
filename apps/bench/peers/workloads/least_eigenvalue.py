"""The least eigenvalue of many symmetric positive definite matrices: 64 Gram matrices of 1000x1000 in fp64.

Arrays: matrices (count, n, n) = G G^T / (2 n) with Gaussian G (n, 2 n): spectrum about [.086, 2.9], the shape of a
tangent kernel's. Result: least (count).
"""

from __future__ import annotations

import numpy as np

from harness import Comparison
from state import Case
from workloads import unit_roundoff


def cases(scale):
    count, n = {"quick": (8, 200), "full": (64, 1000)}[scale]
    return [Case("least_eigenvalue", "least-eigenvalue", count, "f64", {"size": n, "seed": 19}, unit="matrices/s")]


def generate(case):
    n = case["size"]
    rng = np.random.default_rng(case["seed"])
    matrices = np.empty((case.members, n, n), dtype=case.dtype)
    for matrix in matrices:
        factor = rng.standard_normal((n, 2 * n))
        matrix[:] = factor @ factor.T / (2 * n)
    return {"matrices": matrices}


def reference(case, arrays):
    return {"least": np.array([np.linalg.eigvalsh(matrix)[0] for matrix in arrays["matrices"]])}


def compare(case, arrays, result, after):
    """|l - l'| <= 10 n u ||A||_inf (a bound on the largest eigenvalue): what a backward stable method promises."""
    norms = np.max(np.sum(np.abs(arrays["matrices"]), axis=2), axis=1)
    worst = float(np.max(np.abs(np.asarray(result["least"]) - after["least"]) / norms))
    bound = 10 * case["size"] * unit_roundoff(case)
    return Comparison(bool(worst <= bound), worst, bound, "relative to the norm")


def units(case, result):
    return case.members


def flops(case):
    """Reduction to tridiagonal form, 4/3 n^3; a method that does less (Cholesky: n^3/3) beats this floor."""
    return round(4 / 3 * case["size"] ** 3)


def bytes_moved(case):
    return case["size"] ** 2 * case.dtype.itemsize
