"""LAPACK and BLAS through NumPy and SciPy, driven as a C program would drive them: a thread per core, each calling the
single-threaded routine over its share of the matrices (NumPy's loops and SciPy's wrappers let go of the interpreter),
and the routine that does least work for the job.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy
import scipy.linalg
import scipy.sparse.linalg
from scipy.linalg import blas

from harness import FunctionRunner
from implementations.numpy_peer import blocks, one_blas_thread


def version():
    return f"{scipy.__version__} (NumPy {np.__version__})"


def threaded(function, count, block, threads):
    """Concatenated results of `function(slice)` over blocks, BLAS on one thread in each."""
    pool = ThreadPoolExecutor(threads)
    parts = blocks(count, block)

    def compute():
        with one_blas_thread():
            results = list(pool.map(function, parts))
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}

    return compute


def svd(state, threads):
    matrices, count = state.arrays["matrices"], state.case.members

    def part(rows):
        if state.case["job"] == "values":
            return {"values": np.linalg.svd(matrices[rows], compute_uv=False)}
        return dict(zip(("left", "values", "right"), np.linalg.svd(matrices[rows])))

    return {"dgesdd, threads": lambda: FunctionRunner(threaded(part, count, max(1, count // (8 * threads)), threads))}


def least_eigenvalue(state, threads):
    matrices, count = state.arrays["matrices"], state.case.members

    def offer(least):
        def part(rows):
            return {"least": np.array([least(matrix) for matrix in matrices[rows]])}

        return lambda: FunctionRunner(threaded(part, count, 1, threads))

    def values(driver):
        return lambda a: scipy.linalg.eigh(
            a, eigvals_only=True, subset_by_index=[0, 0], driver=driver, check_finite=False
        )[0]

    def shift_invert(a):
        """Lanczos on the inverse through a Cholesky factor: n^3/3 instead of the 4/3 n^3 of a reduction. Only for
        positive definite matrices."""
        factor = scipy.linalg.cho_factor(a, lower=True, check_finite=False)
        inverse = scipy.sparse.linalg.LinearOperator(
            a.shape, matvec=lambda b: scipy.linalg.cho_solve(factor, b, check_finite=False), dtype=a.dtype
        )
        start = np.ones(len(a))
        return 1 / scipy.sparse.linalg.eigsh(inverse, k=1, which="LM", return_eigenvectors=False, v0=start)[0]

    return {
        "dsyevr of one value, threads": offer(values("evr")),
        "dsyevx of one value, threads": offer(values("evx")),
        "Cholesky and Lanczos, threads": offer(shift_invert),
    }


def pattern_gram(state, threads):
    # Column-major and transposed: BLAS sees the rows without a copy.
    patterns = np.asfortranarray(state.arrays["patterns"].astype(np.float32).T)
    return {"ssyrk": lambda: FunctionRunner(lambda: {"counts": blas.ssyrk(1.0, patterns, trans=1, lower=1)})}


OFFERS = {"svd": svd, "least_eigenvalue": least_eigenvalue, "pattern_gram": pattern_gram}


def runners(state, device, threads):
    return OFFERS[state.case.kind](state, threads)
