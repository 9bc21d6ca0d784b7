"""Opens the record that record_test.cpp made (RecordTest.OpensInXarray) as a user would.

usage: record_check.py RECORD; exit code 77 when xarray or netCDF4 is not installed.
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

ds = xr.open_dataset(sys.argv[1])
nan = np.nan

# Dimensions and coordinates
assert dict(ds.sizes) == {"member": 6, "sample": 4, "sample_slow": 2, "index": 3, "layer": 2}, ds.sizes
assert set(ds.coords) == {
    "member", "index", "layer", "step", "step_slow", "init_end_norm", "seed", "parent", "model_kind",
    "status", "end_step", "end_reason",
}, ds.coords
assert set(ds.data_vars) == {"loss_test", "singular_values", "norms", "first_step_below", "note"}
assert ds["member"].dtype == np.int64 and list(ds["member"].values) == [0, 1, 2, 3, 4, 5]
assert list(ds["index"].values) == [0, 1, 2]
assert list(ds["layer"].values) == [1, 2]
assert ds["step"].dims == ("sample",) and list(ds["step"].values) == [0, 10, 100, 1000]
assert ds["step_slow"].dims == ("sample_slow",) and list(ds["step_slow"].values) == [0, 1000]
assert ds["step"].dtype == np.int64 and ds["seed"].dtype == np.int64 and ds["end_step"].dtype == np.int64
assert list(ds["seed"].values) == [0, 1, 2, 0, 1, 2]
assert list(ds["parent"].values) == [-1] * 6
assert list(ds["init_end_norm"].values[:3]) == [1e-3] * 3 and np.isnan(ds["init_end_norm"].values[5])
assert list(ds["model_kind"].values) == ["fc", "fc", "fc", "naïve", "naïve", "naïve"]
assert set(ds["loss_test"].coords) >= {"step", "seed", "status", "init_end_norm"}
assert set(ds["singular_values"].coords) >= {"step_slow", "seed"} and "step" not in ds["singular_values"].coords

# Members
assert list(ds["status"].values) == [
    "finished", "converged", "diverged", "interrupted", "pending", "finished"], ds["status"].values
assert list(ds["end_step"].values) == [1000, 100, 10, 100, 0, 1000]
assert list(ds["end_reason"].values) == [
    "steps", "train_loss", "non-finite train loss", "no end in the log", "", "steps"]

# Units and names of everything
for name, variable in ds.variables.items():
    assert variable.attrs.get("units"), name
    assert variable.attrs.get("long_name"), name
    assert "coordinates" not in variable.attrs, name
assert ds["loss_test"].attrs["comment"] == "mean of squares"
assert ds["loss_test"].attrs["units"] == "1"
assert ds["norms"].attrs["units"] == "m2"

# Values: loss_test(m, s) = m + s / 8, as far as the member went
loss = ds["loss_test"]
assert loss.dims == ("member", "sample") and loss.dtype == np.float64
went = {0: 4, 1: 3, 2: 2, 3: 3, 4: 0, 5: 4}
for member, samples in went.items():
    expected = [member + s / 8 if s < samples else nan for s in range(4)]
    np.testing.assert_array_equal(loss.values[member], expected)

# Families of different sizes: singular_values(m, s, i) = 100 m + 10 s + i, two of them for m < 3
sv = ds["singular_values"]
assert sv.dims == ("member", "sample_slow", "index")
np.testing.assert_array_equal(sv.values[0], [[0, 1, nan], [10, 11, nan]])
np.testing.assert_array_equal(sv.values[5], [[500, 501, 502], [510, 511, 512]])
np.testing.assert_array_equal(sv.values[4], np.full((2, 3), nan))
np.testing.assert_array_equal(
    ds["norms"].values, [[m + 0.5, m + 1.5] if m != 4 else [nan, nan] for m in range(6)])

# Integers that were not set, and texts
first = ds["first_step_below"]
assert first.dtype == np.float64
np.testing.assert_array_equal(first.values, [100, 2.0**53, nan, nan, nan, -7])
assert list(ds["note"].values) == ["", "quoted \" and Δ", "", "", "", "last"]

# Attributes
assert ds.attrs["experiment"] == 'name = "naïve"\n' * 5000
assert ds.attrs["threads"] == 2 and ds.attrs["wall_time"] == 1.5 and np.isnan(ds.attrs["odd"])
assert ds.attrs["trajectory_version"] == 3 and ds.attrs["empty"] == ""
assert ds.attrs["Conventions"] == "CF-1.9" and "ignored_log_bytes" not in ds.attrs

# What users do
finished = ds.where(ds.status == "finished", drop=True)
assert list(finished["member"].values) == [0, 5]
assert float(ds.sel(member=3)["loss_test"].isel(sample=2)) == 3.25
assert float(ds["singular_values"].sel(member=5, index=2).isel(sample_slow=-1)) == 512
assert float(ds["norms"].sel(layer=2, member=0)) == 1.5
median = ds["loss_test"].groupby("init_end_norm").median("member")
assert median.sizes["init_end_norm"] == 2 and float(median.sel(init_end_norm=1e-3)[0]) == 1.0
np.testing.assert_array_equal(ds["loss_test"].isel(sample=0).groupby("seed").mean(), [1.5, 1.0, 3.5])
by_step = ds["loss_test"].swap_dims(sample="step").sel(step=100)
assert float(by_step.sel(member=1)) == 1.25
assert ds.where(ds.seed == 2, drop=True).sizes["member"] == 2
at_end = ds["loss_test"].where(ds["step"] == ds["end_step"]).max("sample")
np.testing.assert_array_equal(at_end, [0.375, 1.25, 2.125, 3.25, nan, 5.375])
table = ds[["loss_test"]].isel(sample=0).to_dataframe()
assert list(table.loc[3, ["seed", "status"]]) == [0, "interrupted"]
assert "loss_test" in repr(ds) and "<table" not in str(ds)
ds.set_index(member=["init_end_norm", "seed"]).sel(init_end_norm=1e-3, seed=1)

# Written again by xarray, it is the same data
again = xr.open_dataset(sys.argv[1]).load()
again.to_netcdf(sys.argv[1] + ".again")
xr.testing.assert_identical(again, xr.open_dataset(sys.argv[1] + ".again").load())

# One variable at a time, without the rest
with netCDF4.Dataset(sys.argv[1]) as file:
    assert file.data_model == "NETCDF4"
    assert file["first_step_below"]._FillValue == np.iinfo(np.int64).min
    assert np.isnan(file["loss_test"]._FillValue)
    assert not file.groups
    # For records in which no variable names them
    assert set(file.coordinates.split()) == set(ds.coords) - {"member", "index", "layer"}
print("record_check: all as expected, with xarray", xr.__version__)
