#!/usr/bin/python3
"""Opens a member's parameters as `manyfold data weights` wrote them, as a user would: .npz in NumPy,
.safetensors by its own format and, where PyTorch is there, as the weights of a torch.nn.Linear; and
writes them back for init.path.

usage: weights_open.py FOLDER    has record.nc, weights.npz, weights.safetensors; gets back.npz
exit code 77 where NumPy or netCDF4 is not installed.
"""
import json
import struct
import sys

try:
    import netCDF4
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

folder = sys.argv[1]
member = 1
with netCDF4.Dataset(f"{folder}/record.nc") as record:
    group = record["family_0"]
    place = list(group["member"][:]).index(member)
    recorded = {name: np.asarray(group[name][place, -1]) for name in ("W_1", "W_2")}

with np.load(f"{folder}/weights.npz") as weights:
    assert set(weights.files) == {"W_1", "W_2"}, weights.files
    for name, expected in recorded.items():
        assert weights[name].dtype == np.float64
        np.testing.assert_array_equal(weights[name], expected)

with open(f"{folder}/weights.safetensors", "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    numbers = file.read()
for name, expected in recorded.items():
    about = header[name]
    begin, end = about["data_offsets"]
    values = np.frombuffer(numbers[begin:end], dtype="<f4").reshape(about["shape"])
    np.testing.assert_array_equal(values, expected.astype(np.float32))

try:
    import torch
except ImportError:
    torch = None
if torch is not None:
    net = torch.nn.Sequential(*(torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in recorded.values())).double()
    net.load_state_dict({f"{i}.weight": torch.from_numpy(w.copy()) for i, w in enumerate(recorded.values())})
    x = torch.eye(recorded["W_1"].shape[1], dtype=torch.float64)
    product = recorded["W_2"] @ recorded["W_1"]
    np.testing.assert_allclose(net(x).detach().numpy().T, product, rtol=0, atol=1e-14)

# The other way round, under the names that PyTorch gives layers.
np.savez(f"{folder}/back.npz", **{f"{i}.weight": w for i, w in enumerate(recorded.values())})
print("all as expected")
