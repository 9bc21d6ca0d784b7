"""How a peer is held to account: what it must offer, how it is compared, how it is timed, what is written down.

A peer offers a `Runner` per variant (ways of writing the same computation that its experts would try). The order is
always: reset, advance one chunk, compare with the known result, and only then time. A timed call starts from the
initial state (reset is outside the clock) and ends when the device has finished. Compilation has a clock of its own.
Rates are medians over at least `repeats` calls and `seconds` seconds, with their quartiles.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


class Runner:
    """One way of computing a case. Subclasses keep what they compile and allocate; `compile_s` is that time."""

    compile_s = 0.0

    def reset(self) -> None:
        """Back to the initial state. Not timed."""

    def advance(self) -> None:
        """`case.chunk` steps, or the whole computation where it has no steps; returns when it is done."""
        raise NotImplementedError

    def result(self) -> dict:
        """NumPy arrays under the names that the workload's reference uses."""
        raise NotImplementedError


class FunctionRunner(Runner):
    """A runner of a function without state: `compute()` gives a dict of arrays, `to_numpy` brings them here."""

    def __init__(self, compute, to_numpy=np.asarray, compile_s=0.0):
        self.compute, self.to_numpy, self.compile_s = compute, to_numpy, compile_s
        self.value = None

    def advance(self):
        self.value = self.compute()

    def result(self):
        return {name: self.to_numpy(value) for name, value in self.value.items()}


@dataclass
class Comparison:
    agrees: bool
    max_relative_difference: float
    tolerance: float
    note: str = ""


def compare_arrays(result: dict, after: dict, tolerance: float) -> Comparison:
    """max |a - b| / max |b| over each array, the worst of them; anything missing, misshapen or NaN disagrees."""
    worst, note = 0.0, ""
    for name, expected in after.items():
        if name not in result:
            return Comparison(False, float("inf"), tolerance, f"no array '{name}' came back")
        got = np.asarray(result[name], dtype=np.float64)
        expected = np.asarray(expected, dtype=np.float64)
        if got.shape != expected.shape:
            return Comparison(
                False, float("inf"), tolerance, f"'{name}' has shape {got.shape}, expected {expected.shape}"
            )
        scale = float(np.max(np.abs(expected))) or 1.0
        difference = float(np.max(np.abs(got - expected))) / scale
        if not np.isfinite(difference):
            return Comparison(False, float("inf"), tolerance, f"'{name}' is not finite")
        if difference > worst:
            worst, note = difference, f"largest in {name}"
    return Comparison(worst <= tolerance, worst, tolerance, note)


@dataclass
class Timing:
    median_s: float
    lower_quartile_s: float
    upper_quartile_s: float
    repeats: int


def timed_call(runner: Runner) -> float:
    runner.reset()
    start = time.perf_counter()
    runner.advance()
    return time.perf_counter() - start


def measure(runner: Runner, repeats: int, seconds: float, most_seconds: float) -> Timing:
    """Median and quartiles of a call: at least `repeats` calls and `seconds` seconds, cut short (at no less than one
    call) when `most_seconds` are spent. The comparison before has warmed up caches, allocators and thread pools."""
    times = []
    while len(times) < repeats or (sum(times) < seconds and len(times) < 200):
        times.append(timed_call(runner))
        if sum(times) >= most_seconds:
            break
    lower, median, upper = np.percentile(times, [25, 50, 75])
    return Timing(float(median), float(lower), float(upper), len(times))


def peak_memory_bytes(reset: bool = False) -> int:
    """Largest resident set of this process since the last reset (Linux; 0 elsewhere)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def limit_threads(threads: int) -> None:
    """Call before any framework is imported. JAX has no thread setting: it counts the processors it may run on."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        available = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, set(available[:threads]))


def host() -> dict:
    model = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    system = f"{platform.system()} {platform.release()}"
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"] + ", " + system
    except OSError:
        pass
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "os": system,
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
    }


def write_json(path: Path, document: dict) -> None:
    """Whole or not at all: a run that is interrupted keeps the rows it had."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    os.replace(partial, path)
