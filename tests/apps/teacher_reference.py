"""Students that the program trains, held against the reference of apps/bench/peers/workloads/teacher_table.py.

    teacher_reference.py PROGRAM FOLDER PATH

Runs every cell of table 5.1 with two seeds on the path named (resident, batched). From the start that the record shows the
reference takes its own steps, with its own teacher, gradients and stopping rule: end point and end step must be the same
(the step to one look, where a student passes its tolerance within rounding of it), losses and parameters at the common
steps must agree to 1e-9. Prints what it found; exit code 1 when anything disagrees, 77 when a module is missing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

try:
    import netCDF4
    import numpy as np
except ImportError as missing:
    print(missing)
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "apps" / "bench" / "peers"))
from workloads import teacher_table  # noqa: E402

TOLERANCE = 1e-9
RATE, LOOK, CLOSE, CLOSE_ANGLE, STEPS = 0.1, 10, 1e-6, 0.02, 40_000
SAMPLED = (1, 10, 100, 1000)

EXPERIMENT = f"""
problem.seed = 3
[model]
kind = "teacher"
filter = 6
[optimizer]
kind = "gd"
learning_rate = {RATE}
[stop]
steps = {STEPS}
at_global = {CLOSE}
at_spurious = [{CLOSE}, {CLOSE_ANGLE}]
check_every = {LOOK}
[probes]
train_loss = {{ steps = {list(SAMPLED)} }}
parameters = {{ steps = {list(SAMPLED)} }}
[sweep]
"model.patches" = {list(teacher_table.PATCHES)}
"teacher.ratio" = {list(teacher_table.RATIOS)}
"seed" = [5, 8]
"""


def ends(v, a, w_star, a_star, spurious):
    """Where a student is: "global", "spurious" or ""."""
    phi = teacher_table.angles(v[None], w_star)[0]
    if phi < CLOSE and np.max(np.abs(a - a_star)) < CLOSE:
        return "global"
    if np.pi - phi < CLOSE_ANGLE and np.max(np.abs(a - spurious)) < CLOSE:
        return "spurious"
    return ""


def train(v, a, w_star, a_star, until):
    """Yields (step, v, a) from the start to step `until`."""
    for step in range(until + 1):
        yield step, v, a
        dv, da = teacher_table.gradients(v[None], a[None], w_star, a_star)
        v, a = v - RATE * dv[0], a - RATE * da[0]


def command(*words):
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr}")


def check(record, folder, member, v, a, steps, losses):
    """Worst difference of one member, and what else is wrong with it."""
    k, ratio = len(a[0]), float(record["teacher_ratio"][member])
    w_star = np.load(folder / "w_star.npy")
    a_star, reason, end = teacher_table.teacher(k, ratio), record["end_reason"][member], int(record["end_step"][member])
    spurious = teacher_table.spurious_end(a_star)
    wrong, worst, found = [], 0.0, None
    for step, x, y in train(v[0], a[0], w_star, a_star, end + LOOK):
        # A sample after the end shows the last state; the last sample is at the end itself.
        for at in [i for i, s in enumerate(steps) if min(s, end) == step]:
            size = np.linalg.norm(np.concatenate([x, y]))
            apart = np.linalg.norm(np.concatenate([x - v[at], y - a[at]])) / size
            loss = teacher_table.population_loss(x, y, w_star, a_star)
            # The reference's loss is a difference of numbers of order 1.
            worst = max(worst, apart, abs(loss - losses[at]))
        if found is None and step % LOOK == 0 and step > 0 and ends(x, y, w_star, a_star, spurious):
            found = step, ends(x, y, w_star, a_star, spurious)
    if found is None or found[1] != reason or abs(found[0] - end) > LOOK:
        wrong.append(f"ends {reason} at {end}, by the reference {found}")
    return worst, wrong


def main():
    program, folder, path = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    file = folder / "teacher.toml"
    file.write_text(EXPERIMENT)
    command(program, "run", file, "--out", folder / path, "--device", "cpu", "--path", path, "--quiet")
    command(program, "data", "generate", file, folder / f"{path}.problem")  # w* is the same for all
    failed, reasons, worst = 0, {}, 0.0
    with netCDF4.Dataset(folder / path / "record.nc") as file:
        record = {name: file.variables[name][:] for name in ("teacher_ratio", "end_reason", "end_step")}
        losses = np.ma.filled(file.variables["train_loss"][:], np.nan)
        for group in file.groups.values():
            values = {name: np.ma.filled(group.variables[name][:].astype(float), np.nan)[:, :, 0] for name in ("v", "a")}
            sample = group.variables["v"].dimensions[1]
            steps = file.variables["step" + sample.removeprefix("sample")][:].tolist()
            for row, member in enumerate(group.variables["member"][:].tolist()):
                # Those that ended have samples up to their last state.
                seen = int(np.sum(np.isfinite(values["v"][row, :, 0])))
                apart, wrong = check(record, folder / f"{path}.problem", member, values["v"][row, :seen], values["a"][row, :seen], steps[:seen], losses[member])
                worst = max(worst, apart)
                reasons[record["end_reason"][member]] = reasons.get(record["end_reason"][member], 0) + 1
                if wrong or not apart <= TOLERANCE:
                    failed += 1
                    print(f"DIFFERS  member {member}: {apart:.1e} {'; '.join(wrong)}")
    enough = set(reasons) == {"global", "spurious"}
    print(f"{'agrees' if enough and not failed else 'DIFFERS'}  {sum(reasons.values())} students, {reasons}: {worst:.1e}")
    return 0 if enough and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
