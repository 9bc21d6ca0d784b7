"""Singular values, with or without vectors, of many small matrices: 10,000 of 20x20 in fp64, Gaussian entries.

Arrays: matrices (count, n, n). Result: values (count, n) in decreasing order; with vectors also left (count, n, n)
and right (count, n, n) with A = left diag(values) right (right holds the vectors as rows, LAPACK's V^T).
"""

from __future__ import annotations

import numpy as np

from harness import Comparison
from state import Case
from workloads import unit_roundoff


def cases(scale):
    count = {"quick": 1000, "full": 10_000}[scale]
    return [
        Case("svd", f"svd-{job}", count, "f64", {"size": 20, "job": job, "seed": 17}, unit="matrices/s")
        for job in ("values", "vectors")
    ]


def generate(case):
    rng = np.random.default_rng(case["seed"])
    return {"matrices": rng.standard_normal((case.members, case["size"], case["size"])).astype(case.dtype)}


def reference(case, arrays):
    return {"values": np.linalg.svd(arrays["matrices"].astype(np.float64), compute_uv=False)}


def compare(case, arrays, result, after):
    """Values within c n eps ||A||; vectors by the residual ||A - U S V||_F and by ||U^T U - 1||_F, since signs are
    free (and vectors of close values too)."""
    n = case["size"]
    bound = 10 * n * 2 * unit_roundoff(case)
    scale = after["values"][:, :1]
    errors = {"values": np.abs(result["values"] - after["values"]) / scale}
    if case["job"] == "vectors":
        left, right = np.asarray(result["left"]), np.asarray(result["right"])
        rebuilt = (left * result["values"][:, None, :]) @ right
        errors["residual"] = np.linalg.norm(arrays["matrices"] - rebuilt, axis=(1, 2)) / scale[:, 0]
        for name, q in (("left", left), ("right", right)):
            errors[f"orthogonality of {name}"] = np.linalg.norm(q.transpose(0, 2, 1) @ q - np.eye(n), axis=(1, 2))
    errors = {name: float(np.max(error)) for name, error in errors.items()}
    worst = float(np.max(list(errors.values())))  # not max(): a NaN must come through
    return Comparison(worst <= bound, worst, bound, f"largest in {max(errors, key=errors.get)}")


def units(case, result):
    return case.members


def flops(case):
    """Golub and Van Loan, 8.6.4: values by bidiagonalization 8/3 n^3; all of U, S, V 21 n^3 (square matrices)."""
    n = case["size"]
    return round((8 / 3 if case["job"] == "values" else 21) * n**3)


def bytes_moved(case):
    n = case["size"]
    return ((1 if case["job"] == "values" else 3) * n**2 + n) * case.dtype.itemsize
