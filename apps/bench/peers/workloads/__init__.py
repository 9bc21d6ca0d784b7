"""The workloads: one module per kind. Each is the definition of its problem, in NumPy and in words.

A module has
    cases(scale)                     the rows of the table at scale "quick" or "full"
    generate(case)                   problem and initial state, a pure function of the case: arrays in its precision
    reference(case, arrays)          plain NumPy in fp64, written for reading: the arrays after `case.chunk` steps
    flops(case), bytes_moved(case)   per unit: operations by the stated formula (an addition, a multiplication and a
                                     square root or division count 1 each, a transcendental function 10), and bytes
                                     that pass between memory and processor if every step reads and writes its
                                     parameters once. A program that keeps members in cache is bound by the first alone.
and, where the defaults below do not fit,
    tolerance(case)                  bound on the relative difference, derived from operation counts and rounding
    compare(case, arrays, result, after)
    units(case, result)              how many units one call computes
"""

from __future__ import annotations

import importlib

import numpy as np

import harness
from state import Case, State

KINDS = (
    "factorization",
    "entries_sgd",
    "teacher_table",
    "scalar_map",
    "two_layer_relu",
    "fully_connected",
    "cnn",
    "svd",
    "least_eigenvalue",
    "pattern_gram",
    "tangent_kernel",
)


def module(kind: str):
    if kind not in KINDS:
        raise ValueError(f"no workload of kind '{kind}'; there are {', '.join(KINDS)}")
    return importlib.import_module(f"workloads.{kind}")


def all_cases(scale: str) -> list[Case]:
    return [case for kind in KINDS for case in module(kind).cases(scale)]


def select(cases: list[Case], names: list[str], precisions: list[str]) -> list[Case]:
    """A name selects its case and every case whose name goes on with a dash: greedy-2 selects greedy-2-full."""
    if names != ["all"]:
        known = sorted({case.name for case in cases})
        for name in names:
            if not any(case == name or case.startswith(name + "-") for case in known):
                raise ValueError(f"no workload '{name}'; there are {', '.join(known)}")
        cases = [c for c in cases if any(c.name == name or c.name.startswith(name + "-") for name in names)]
    return [case for case in cases if case.precision in precisions]


def draw(case: Case) -> State:
    """Problem, start and the reference's result for a case that nobody has exported."""
    return complete(State(case, module(case.kind).generate(case)))


def complete(state: State) -> State:
    """With the reference's result, for a start that came without one."""
    state.after = module(state.case.kind).reference(state.case, state.arrays)
    state.after_by = "NumPy reference, fp64"
    return state


def compare(state: State, result: dict) -> harness.Comparison:
    """Against the known result. A trained array must agree in its *change* too, to 1 % in Frobenius norm: a wrong
    gradient cannot hide behind a short step."""
    case, workload = state.case, module(state.case.kind)
    if hasattr(workload, "compare"):
        return workload.compare(case, state.arrays, result, state.after)
    comparison = harness.compare_arrays(result, state.after, workload.tolerance(case))
    if not comparison.agrees:
        return comparison
    for name in set(state.after) & set(state.arrays):
        start = state.arrays[name].astype(np.float64)
        change = np.linalg.norm(state.after[name] - start)
        difference = np.linalg.norm(np.asarray(result[name], dtype=np.float64) - state.after[name])
        if difference > 0.01 * change:
            comparison.agrees = False
            comparison.note = f"the change of {name} differs by {difference / change:.1e} of itself"
    return comparison


def units(case: Case, result: dict) -> int:
    """How many units the call that gave `result` computed."""
    workload = module(case.kind)
    return workload.units(case, result) if hasattr(workload, "units") else case.members * case.chunk


def unit_roundoff(case: Case) -> float:
    return float(np.finfo(case.dtype).eps) / 2
