"""The device against the CPU, and against itself.

Runs of the same experiment start from bitwise equal states. After k steps every recorded quantity must agree within

    (k + 1) * 4 * L * n * eps * (largest magnitude of that quantity of that member),

L layers and n the largest size: a product of L matrices of inner size n has a relative error of at most L n eps, a
gradient and a loss are made of such products (the factor 4), each step adds as much again, and the experiments are ones
whose steps are small against 1 / sharpness, so that earlier errors do not grow. eps is that of the products: 2^-53,
2^-24, and 2^-11 where tf32 was asked for. `balance` is a difference of squares that nearly cancel, so its scale is the
squared norm of the layers.

Two runs on the device with equal slots must be the same, bit for bit.
"""

from __future__ import annotations

import math
import struct

import sample_log

from . import google_test

EPSILON = {"f64": 2.0**-53, "f32": 2.0**-24, "tf32": 2.0**-11}
EXPERIMENTS = {"completion": (4, 20), "rectangular": (3, 33)}  # file -> layers, largest size
SCALE_OF = {"balance": "layer_norm2"}


def compare(a: sample_log.Log, b: sample_log.Log, layers: int, size: int, precision: str) -> dict:
    """Per variable the largest difference as a share of its bound; above 1 it is too large. Also that after one step."""
    unit = 4 * layers * size * EPSILON[precision]
    variables = {variable["name"]: variable["cadence"] for variable in a.layout["variables"]}
    steps = [cadence["steps"] for cadence in a.layout["cadences"]]
    worst = {}
    for name, cadence in variables.items():
        if cadence < 0:
            continue
        rows, other, scales = a.of(name), b.of(name), _scales(a.of(SCALE_OF.get(name, name)))
        if rows.keys() != other.keys():
            worst[name] = {"share_of_bound": math.inf, "note": "not the same samples"}
            continue
        entry = {"share_of_bound": 0.0, "one_step": 0.0, "values": 0}
        for (sample, member), row in rows.items():
            step = steps[cadence][sample]
            bound = (step + 1) * unit * scales[member]
            for x, y in zip(row, other[sample, member]):
                share = _difference(x, y) / bound if bound > 0 else (0.0 if x == y else math.inf)
                entry["values"] += 1
                if step <= 1:
                    entry["one_step"] = max(entry["one_step"], share)
                if share > entry["share_of_bound"]:
                    entry.update(share_of_bound=share, member=member, step=step, cpu=x, device=y)
        worst[name] = entry
    return worst


def _scales(rows: dict) -> dict:
    scales = {}
    for (_, member), row in rows.items():
        finite = [abs(value) for value in row if math.isfinite(value)]
        scales[member] = max([scales.get(member, 0.0), *finite])
    return scales


def _difference(x: float, y: float) -> float:
    if x == y or (math.isnan(x) and math.isnan(y)):
        return 0.0
    difference = abs(x - y)
    return difference if math.isfinite(difference) else math.inf


def same_bits(a: sample_log.Log, b: sample_log.Log) -> str | None:
    """None, or the first difference."""
    if a.ends != b.ends:
        return "members ended differently"
    if a.values.keys() != b.values.keys():
        return "not the same samples"
    for (name, sample, member), row in a.values.items():
        other = b.values[name, sample, member]
        if len(row) != len(other) or struct.pack(f"{len(row)}d", *row) != struct.pack(f"{len(row)}d", *other):
            return f"{name} of member {member} at sample {sample}: {row[:4]} and {other[:4]}"
    return None


def record(session, experiment, device, precision, seeds, steps, name):
    out = session.scratch / name
    done = session.manyfold(
        "run", session.root / "apps" / "gpu_check" / "experiments" / f"{experiment}.toml", "--device", device, "--out", out,
        "--overwrite", "--quiet", "--set", f'precision="{precision}"', "--set", f'sweep."seed"={{range=[0,{seeds}]}}', *steps,
    )
    if not done.ok:
        raise RuntimeError(f"{done.command}: {done.why()}")
    return sample_log.read(out / "samples.log"), done.command


def run(session):
    filters = f"*/{session.device}"
    wanted = [("completion", "f64")] if session.dry_run else [(e, p) for e in EXPERIMENTS for p in EPSILON]
    if session.dry_run:
        filters = "*Trajectory*BalancedLayers*/emulated:*Gradient*/emulated"
    done, counts = google_test.run(session, "models", filters, 0.6 * session.left())
    wrong = google_test.verdict(done, counts)
    result = {"tests": {"command": done.command, "wrong": wrong, **({"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped} if counts else {})},
              "runs": [], "lines": []}
    problems = [f"model tests: {wrong}"] if wrong else []
    seeds = 1 if session.dry_run else 256
    steps = ["--set", "stop.steps=5"] if session.dry_run else []
    worst = 0.0
    for experiment, precision in wanted:
        row = {"experiment": experiment, "precision": precision, "seeds": seeds}
        result["runs"].append(row)
        try:
            cpu, _ = record(session, experiment, "cpu", precision, seeds, steps, "cpu")
            first, row["command"] = record(session, experiment, session.device, precision, seeds, steps, "first")
            again, _ = record(session, experiment, session.device, precision, seeds, steps, "again")
        except RuntimeError as error:
            row["wrong"] = str(error)[:400]
            problems.append(row["wrong"][:160])
            continue
        row["members"] = first.layout["members"]
        row["variables"] = compare(cpu, first, *EXPERIMENTS[experiment], precision)
        row["share_of_bound"] = max(entry["share_of_bound"] for entry in row["variables"].values())
        worst = max(worst, row["share_of_bound"])
        changed = same_bits(first, again)
        row["repeats_bitwise"] = changed is None
        if changed:
            row["first_change"] = changed
            problems.append(f"{experiment} {precision} does not repeat: {changed}"[:200])
        if not row["share_of_bound"] <= 1:
            name = max(row["variables"], key=lambda name: row["variables"][name]["share_of_bound"])
            problems.append(f"{experiment} {precision}: {name} is {row['variables'][name]['share_of_bound']:.2g} of its bound from the CPU's")
            row["wrong"] = problems[-1]
        result["lines"].append(f"{experiment} {precision}: {row['members']} members, {row['share_of_bound']:.2g} of the bound, "
                               f"{'DOES NOT REPEAT' if changed else 'repeats bitwise'}")
    result["status"] = "failed" if problems else "passed"
    tests = counts.text if counts else "tests did not end"
    result["summary"] = "; ".join(problems)[:300] if problems else f"{tests}; {len(wanted)} runs within {worst:.2g} of the bound, bitwise repeatable"
    return result
