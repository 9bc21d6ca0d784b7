"""The parts of the check, in order of value. Each is a module with `run(session) -> dict`: its status (passed, failed,
skipped), a summary of one line, further lines for the table, and whatever it measured."""

from dataclasses import dataclass
from typing import Callable

from . import agreement, benchmarks, kernels, profiling, sanitizer


@dataclass
class Part:
    what: str
    share: float  # of the budget
    run: Callable


PARTS = {
    "kernels": Part("kernel tests on the device, fresh random inputs", 0.16, kernels.run),
    "agreement": Part("model tests; runs on the device against runs on the CPU, and against themselves", 0.16, agreement.run),
    "benchmarks": Part("throughput, and that of the peers", 0.34, benchmarks.run),
    "sanitizer": Part("compute-sanitizer over kernel tests", 0.22, sanitizer.run),
    "profile": Part("ncu on the kernels of a run", 0.12, profiling.run),
}
