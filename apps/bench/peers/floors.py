"""What this machine can do at most, measured in the same run, so that a row can state its share.

FMA peak: the best rate of a large square product (`sgemm`, `dgemm`) that a library here reaches. It is a product's
rate, named as such, and some percent below what the units could do. Bandwidth: a copy of an array much larger than the
caches, bytes read plus bytes written.
"""

from __future__ import annotations

import time

import numpy as np

LARGEST = {"cpu": 3072, "cuda": 8192}
COPY_BYTES = {"cpu": 2**29, "cuda": 2**31}


def best_rate(work, compute, repeats=5):
    compute()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        compute()
        seconds.append(time.perf_counter() - start)
    return work / min(seconds)


def best_product(prepare, device):
    """Best rate of `prepare(n)()`, an n x n product; n as large as 0.3 s allow, for there are slow BLASes."""
    trial = best_rate(2 * 512**3, prepare(512), repeats=1)
    n = min(LARGEST[device], max(512, int((0.3 * trial / 2) ** (1 / 3)) // 64 * 64))
    return best_rate(2 * n**3, prepare(n))


def of_numpy():
    rows = {}
    for precision, dtype in (("f32", np.float32), ("f64", np.float64)):

        def prepare(n):
            a, b, out = np.ones((n, n), dtype), np.ones((n, n), dtype), np.empty((n, n), dtype)
            return lambda: np.matmul(a, b, out=out)

        rows[f"gemm_{precision}"] = best_product(prepare, "cpu")
    source = np.ones(COPY_BYTES["cpu"] // 8)
    target = np.empty_like(source)
    rows["copy"] = best_rate(2 * source.nbytes, lambda: np.copyto(target, source))
    return rows


def of_pytorch(device):
    import implementations.pytorch_peer as peer
    import torch

    rows = {}
    for precision, dtype in (("f32", torch.float32), ("f64", torch.float64)):

        def prepare(n):
            # Random, because a GPU's clock depends on the bits that it has to turn over.
            a, b = torch.rand(n, n, dtype=dtype, device=device), torch.rand(n, n, dtype=dtype, device=device)
            out = torch.empty_like(a)

            def product():
                torch.mm(a, b, out=out)
                peer.synchronize(device)

            return product

        rows[f"gemm_{precision}"] = best_product(prepare, device)
    source = torch.ones(COPY_BYTES[device] // 8, dtype=torch.float64, device=device)
    target = torch.empty_like(source)

    def copy():
        target.copy_(source)
        peer.synchronize(device)

    rows["copy"] = best_rate(2 * source.numel() * 8, copy)
    return rows


def best(measured: dict) -> dict:
    """Of {library: rates} the best of each, with who reached it."""
    floors = {}
    for library, rows in measured.items():
        for name, value in rows.items():
            if value > floors.get(name, {"value": 0})["value"]:
                unit = "B/s" if name == "copy" else "FLOP/s"
                floors[name] = {"value": value, "unit": unit, "measured_through": library}
    return floors
