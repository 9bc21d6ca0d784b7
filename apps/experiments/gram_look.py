#!/usr/bin/env python3
"""Draws Gram matrices over a sweep: least eigenvalues, and distances from the limit of infinite width.

    gram_look.py DIR [FIGURE.png]

DIR has the record of `manyfold gram`, or of a part of `manyfold reproduce overparam.*`. The first
swept number that is no seed is the horizontal axis, the other swept keys are curves, seeds are the
median between quartiles.
"""
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

# Variable, entry of its last dimension, and what it is called.
LEAST = [
    ("tangent_kernel_eigenvalues", 0, "least eigenvalue of G(0)"),
    ("tangent_kernel_limit_eigenvalues", 0, "of its limit"),
    ("last_gram_limit_eigenvalues", 0, "of the last layer's limit"),
]
DISTANCES = [
    ("tangent_kernel_limit_distance", None, "||G(0) - K||"),
    ("last_gram_limit_distance", None, "||G^(H)(0) - K^(H)||"),
]


def swept(record):
    """Names of swept coordinates that are no seeds, those of numbers first."""
    known = {"member", "parent", "branch_step", "end_step", "status", "end_reason"}
    names = [
        name
        for name, coordinate in record.coords.items()
        if coordinate.dims == ("member",)
        and name not in known
        and not str(name).endswith("seed")
        and len(np.unique(coordinate.values)) > 1
    ]
    return sorted(names, key=lambda name: not np.issubdtype(record[name].dtype, np.number))


def draw(axes, record, variables, names):
    x_name, rest = names[0], names[1:]
    x = record[x_name].values
    keys = ["; ".join(f"{name} = {record[name].values[m]}" for name in rest) for m in range(len(x))]
    for variable, entry, label in variables:
        if variable not in record:
            continue
        values = record[variable].isel(sample=0) if "sample" in record[variable].dims else record[variable]
        values = values.values if entry is None else values.values[..., entry]
        for key in dict.fromkeys(keys):
            mine = np.array([k == key for k in keys])
            at = np.unique(x[mine])
            low, middle, high = (
                np.array([np.nanquantile(values[mine & (x == one)], q) for one in at])
                for q in (0.25, 0.5, 0.75)
            )
            (line,) = axes.plot(at, middle, marker="o", label=f"{label}{', ' if key else ''}{key}")
            axes.fill_between(at, low, high, color=line.get_color(), alpha=0.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x_name)
    axes.legend(fontsize="small")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    record = xr.open_dataset(folder / "record.nc")
    names = swept(record)
    if not names or not np.issubdtype(record[names[0]].dtype, np.number):
        sys.exit(f"{folder}: the sweep varies no number but seeds")
    panels = [v for v in (LEAST, DISTANCES) if any(name in record for name, _, _ in v)]
    if not panels:
        sys.exit(f"{folder}: no probe of Gram matrices is in the record")
    figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 4.5), squeeze=False)
    for panel, variables in zip(axes[0], panels):
        draw(panel, record, variables, names)
    figure.suptitle(record.attrs["name"])
    figure.tight_layout()
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else folder / "gram.png"
    figure.savefig(target, dpi=150)
    print(target)


if __name__ == "__main__":
    main()
