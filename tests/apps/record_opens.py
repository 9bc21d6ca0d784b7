#!/usr/bin/python3
"""Opens the record that record_opens_in_python_test.cpp made of first.toml, as a user would.

usage: record_opens.py RECORD; exit code 77 where xarray or netCDF4 is not installed.
"""

import sys
import warnings

try:
    import netCDF4  # noqa: F401  (the engine that xarray takes)
    import numpy as np
    import xarray as xr
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

warnings.simplefilter("error")  # a record must not make xarray warn
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", message="numpy.ndarray size changed")

record = xr.open_dataset(sys.argv[1])

# 2 depths (with their optimizers) x 2 norms x 2 seeds, 60 and 40 steps.
samples = record.sizes["sample"]  # geometric, 20 a decade, with 40 and 60
assert dict(record.sizes) == {"member": 8, "sample": samples, "pair": 2, "index": 12}, record.sizes

# Coordinates: one for each swept key, dots as underscores, and what became of each member.
swept = {
    "model_depth": [2, 2, 2, 2, 3, 3, 3, 3],
    "optimizer_kind": ["gd"] * 4 + ["rms_gd"] * 4,
    "init_end_norm": [0.05, 0.05, 2.0, 2.0] * 2,
    "seed": [0, 1] * 4,
    "stop_steps": [60] * 4 + [40] * 4,
    "parent": [-1] * 8,
    "status": ["finished"] * 8,
    "end_step": [60] * 4 + [40] * 4,
    "end_reason": ["steps"] * 8,
}
for name, expected in swept.items():
    assert name in record.coords, f"{name} is no coordinate"
    assert record[name].dims == ("member",), name
    assert list(record[name].values) == expected, (name, record[name].values)
assert list(record["member"].values) == list(range(8))
assert record["seed"].dtype == np.int64 and record["end_step"].dtype == np.int64
assert record["model_depth"].dtype == np.int64
epsilon = record["optimizer_epsilon"].values  # of rms_gd alone
assert np.isnan(epsilon[:4]).all() and list(epsilon[4:]) == [1.0] * 4, epsilon

# Samples: step 0 first, each member's end, NaN after it.
step = record["step"]
assert step.dims == ("sample",) and step.values[0] == 0 and step.values[-1] == 60
assert (np.diff(step.values) > 0).all() and 40 in step.values
loss = record["train_loss"]
assert loss.dims == ("member", "sample")
due = step.values[None, :] <= record["end_step"].values[:, None]
assert (np.isfinite(loss.values) == due).all()
assert (loss.isel(sample=0).values > 0).all()
values = record["singular_values"]
assert values.dims == ("member", "sample", "index") and values.shape[2] == 12
present = values.values[due]
assert (np.diff(present, axis=1) <= 0).all() and (present >= 0).all()
norm = np.sqrt((record["singular_values"].isel(sample=0).values ** 2).sum(axis=1))
assert (norm <= record["init_end_norm"].values * (1 + 1e-12)).all()

# Ragged depths are padded with NaN: one pair of layers at depth 2, two at depth 3.
balance = record["balance"]
assert balance.dims == ("member", "sample", "pair")
assert np.isnan(balance.values[:4, :, 1]).all() and np.isfinite(balance.values[:4, 0, 0]).all()
assert np.isfinite(balance.values[4:, 0, :]).all()

# Running extremes are one value a member, looked at every stop.check_every = 10 steps and at the end.
least = record["min_test_error"]
assert least.dims == ("member",)
looked_at = record["test_error"].values[:, step.values % 10 == 0]
assert looked_at.shape[1] > 5
assert (least.values <= np.nanmin(looked_at, axis=1)).all()

# Every variable says what it is and in which unit; probes give their formula.
for name, variable in record.variables.items():
    assert variable.attrs.get("units"), f"{name} has no units"
    assert variable.attrs.get("long_name"), f"{name} has no long_name"
for name in ["train_loss", "test_error", "grad_norm", "balance", "singular_values", "min_test_error"]:
    assert record[name].attrs.get("comment"), f"{name} has no comment"
assert "init.end_norm" in record["init_end_norm"].attrs["long_name"]

# Attributes, as RECORD promises them.
attributes = record.attrs
for name in ["experiment", "program", "program_version", "program_commit", "trajectory_version",
             "device", "device_name", "driver", "precision", "math_mode", "compute_units",
             "instruction_set", "slots", "path", "wall_time_seconds", "member_steps", "check_every"]:
    assert name in attributes, f"no attribute {name}"
assert attributes["name"] == "completion of handwritten digits: depth and size of the start"
assert attributes["precision"] == "f64" and attributes["device"] == "cpu"
assert attributes["member_steps"] == 4 * 60 + 4 * 40
assert attributes["interrupted"] == 0
for key in ["[sweep]", "problem", "check_every = 10", "singular_values"]:
    assert key in attributes["experiment"], key

# Selecting is what a record is for.
small = record.where((record.model_depth == 3) & (record.init_end_norm == 0.05), drop=True)
assert small.sizes["member"] == 2
print(f"{len(record.data_vars)} variables, {len(record.coords)} coordinates")
