#!/usr/bin/python3
"""Opens the groups of parameters that record_opens_in_python_test.cpp recorded, as a user would, and
takes the singular values of the products of layers.

usage: parameters_open.py RECORD; exit code 77 where xarray or netCDF4 is not installed.
"""

import sys
import warnings

try:
    import netCDF4
    import numpy as np
    import xarray as xr
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

warnings.simplefilter("error")  # a record must not make xarray warn
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", message="numpy.ndarray size changed")

record = xr.open_dataset(sys.argv[1])
with netCDF4.Dataset(sys.argv[1]) as file:
    groups = list(file.groups)
assert groups == ["family_0", "family_1"], groups

seen = []
for group in groups:
    family = xr.open_dataset(sys.argv[1], group=group)
    layers = len(family.data_vars)
    assert set(family.data_vars) == {f"W_{h}" for h in range(1, layers + 1)}
    steps = [name for name in family.coords if name.startswith("step")]
    assert len(steps) == 1 and list(family[steps[0]].values) == [0, 25, 50], family.coords
    for name, variable in family.variables.items():
        assert variable.attrs.get("units") and variable.attrs.get("long_name"), name
    for member in family["member"].values:
        seen.append(int(member))
        one = family.sel(member=member)
        assert int(record["model_depth"].sel(member=member)) == layers
        for sample in range(3):
            layers_of = [one[f"W_{h}"].values[sample] for h in range(1, layers + 1)]
            assert all(w.shape == (4, 4) and np.isfinite(w).all() for w in layers_of)
            product = np.eye(4)
            for w in layers_of:
                product = w @ product
            expected = np.linalg.svd(product, compute_uv=False)
            found = record["singular_values"].sel(member=member).values[sample]
            np.testing.assert_allclose(found, expected[: found.size], rtol=0, atol=1e-14 * max(1, expected[0]))
assert sorted(seen) == list(range(8)), seen
print("all as expected")
