"""Opens the groups of the record that record_test.cpp made (RecordTest.GroupsOpenInXarray).

usage: record_groups_check.py RECORD; exit code 77 when xarray or netCDF4 is not installed.
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

root = xr.open_dataset(sys.argv[1])
assert "W_1" not in root and "loss" in root

first = xr.open_dataset(sys.argv[1], group="family_0")
assert first["W_1"].dims == ("member", "sample_slow", "W_1_row", "W_1_col"), first["W_1"].dims
assert dict(first.sizes) == {"member": 2, "sample_slow": 3, "W_1_row": 2, "W_1_col": 3}, first.sizes
assert list(first["member"].values) == [1, 4] and first["member"].dtype == np.int64
assert set(first.coords) == {"member", "step_slow"}, first.coords
assert list(first["step_slow"].values) == [0, 5, 9]
assert first.attrs["long_name"] == "deep_linear 2x3"
assert first["W_1"].attrs["units"] == "1" and first["W_1"].attrs["long_name"] == "parameters W_1"
assert first["W_1"].attrs["comment"] == "of the first family"
last = first["W_1"].sel(member=4).isel(sample_slow=-1).values
np.testing.assert_array_equal(last, [[50, 51, 52], [53, 54, 55]])
np.testing.assert_array_equal(first["W_1"].sel(member=1).isel(sample_slow=1).values, np.full((2, 3), np.nan))

second = xr.open_dataset(sys.argv[1], group="family_1")
np.testing.assert_array_equal(second["W_1"].sel(member=3).isel(sample_slow=1).values, [[30, 31]])
assert float(second["norm"].sel(member=3)) == 7

# Members of all groups beside what the root says of them.
both = first.assign_coords(loss=root["loss"].isel(sample=0).sel(member=first["member"]))
assert list(both["loss"].values) == [1, 4]
print("record_groups_check: all as expected")
