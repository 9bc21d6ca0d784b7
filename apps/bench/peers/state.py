"""The exchange with manyfold: one directory per case holding a problem, its start and, if known, its result.

    DIR/workload.json     kind, name, members, precision, parameters (sizes and hyperparameters), chunk, unit,
                          optionally after_steps
    DIR/W_1.npy ...       C-order little-endian arrays, members first: (member, rows, cols); W_1 touches the data
    DIR/target.npy ...    whatever else the kind's module under workloads/ names (mask, indices, inputs, ...)
    DIR/after_W_1.npy ... the same arrays after `after_steps` steps, when somebody has computed them

Either side can write it: `generate` of a workload draws one with NumPy, manyfold exports one of its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

AFTER = "after_"
DTYPES = {"f32": np.dtype("<f4"), "f64": np.dtype("<f8")}


@dataclass
class Case:
    """One row of the table: a workload at one size and precision.

    A *unit* is what the rate counts (a member's step, a matrix); `chunk` is how many steps one timed call takes
    and after how many the result is compared (1 for a computation that is done at one go)."""

    kind: str
    name: str
    members: int
    precision: str
    parameters: dict = field(default_factory=dict)
    chunk: int = 1
    unit: str = "member-steps/s"

    @property
    def dtype(self) -> np.dtype:
        return DTYPES[self.precision]

    @property
    def key(self) -> str:
        return f"{self.name}.m{self.members}.{self.precision}"

    def __getitem__(self, parameter):
        try:
            return self.parameters[parameter]
        except KeyError:
            raise KeyError(
                f"{self.key}: workload.json names no '{parameter}'; it names {sorted(self.parameters)}"
            ) from None


@dataclass
class State:
    case: Case
    arrays: dict
    after: dict = field(default_factory=dict)
    after_by: str = ""


def save(directory: Path, state: State) -> None:
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    described = asdict(state.case)
    if state.after:
        described["after_steps"] = state.case.chunk
        described["after_by"] = state.after_by
    for name, array in state.arrays.items():
        _write(directory / f"{name}.npy", array)
    for name, array in state.after.items():
        _write(directory / f"{AFTER}{name}.npy", array)
    (directory / "workload.json").write_text(json.dumps(described, indent=1) + "\n")


def load(directory: Path) -> State:
    directory = Path(directory)
    path = directory / "workload.json"
    if not path.exists():
        raise FileNotFoundError(f"{directory}: no workload.json there; a state directory needs one")
    try:
        described = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    wanted = ("kind", "name", "members", "precision", "parameters")
    missing = [key for key in wanted if key not in described]
    if missing:
        raise ValueError(f"{path}: no {', '.join(missing)}; expected the keys {', '.join(wanted)}")
    if described["precision"] not in DTYPES:
        raise ValueError(f"{path}: precision '{described['precision']}'; expected one of {', '.join(DTYPES)}")
    case = Case(**{key: described[key] for key in (*wanted, "chunk", "unit") if key in described})
    arrays, after = {}, {}
    for file in sorted(directory.glob("*.npy")):
        kept, name = (after, file.stem[len(AFTER) :]) if file.stem.startswith(AFTER) else (arrays, file.stem)
        kept[name] = np.load(file, allow_pickle=False)
    if after and described.get("after_steps") != case.chunk:
        raise ValueError(
            f"{path}: after_steps is {described.get('after_steps')}, chunk is {case.chunk}: they must be equal"
        )
    return State(case, arrays, after, described.get("after_by", "manyfold") if after else "")


def directories(root: Path) -> dict[str, Path]:
    """Case key -> directory, for a directory that is a state or holds one per case."""
    root = Path(root)
    found = [root] if (root / "workload.json").exists() else sorted(p.parent for p in root.glob("*/workload.json"))
    return {load_case(path).key: path for path in found}


def load_case(directory: Path) -> Case:
    described = json.loads((Path(directory) / "workload.json").read_text())
    return Case(**{key: described[key] for key in Case.__dataclass_fields__ if key in described})


def _write(path: Path, array: np.ndarray) -> None:
    array = np.asarray(array)
    np.save(path, np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")), allow_pickle=False)
