#!/usr/bin/python3
"""A first look at the record of first.toml: a table on the terminal and one figure.

    /usr/bin/python3 apps/experiments/first_look.py results/first

Reads DIR/record.nc with xarray and writes DIR/first.png. Debian's python3-xarray, python3-netcdf4
and python3-matplotlib are enough. The record's last sample of a member is the last that is not NaN:
after a member ended, its samples are NaN.
"""

import argparse
import collections
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")  # no display needed

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

needed = ["test_error", "singular_values", "balance", "model_depth", "init_end_norm", "seed"]

# Five steps from dark to light (cividis): ordered as the init norms are, readable without colour
# vision and in grey.
shades = matplotlib.colormaps["cividis"]
ink = "#222222"


def read(folder):
    path = folder / "record.nc"
    if not path.is_file():
        sys.exit(
            f"first_look: there is no record {path}.\n"
            f"Make one: build/bin/manyfold run apps/experiments/first.toml --out {folder}"
        )
    try:
        record = xr.open_dataset(path).load()
    except (OSError, ValueError) as error:
        sys.exit(f"first_look: {path} is not a record that xarray can read: {error}")
    missing = [name for name in needed if name not in record.variables]
    if missing:
        sys.exit(f"first_look: {path} lacks {', '.join(missing)}: is it a record of first.toml?")
    return path, record


def sample_dimension(variable):
    return next(name for name in variable.dims if str(name).startswith("sample"))


def steps_of(record, variable):
    """The step of each sample of a variable: `step` for `sample`, `step_slow` for `sample_slow`."""
    dimension = sample_dimension(variable)
    return record["step" + dimension[len("sample") :]].values


def held(variable):
    """The variable with each member's last value held after its end, samples first."""
    dimension = sample_dimension(variable)
    values = variable.transpose(dimension, "member", ...).values.astype(float).copy()
    for k in range(1, len(values)):
        values[k] = np.where(np.isnan(values[k]), values[k - 1], values[k])
    return values


def select(record, depth, norm):
    return np.flatnonzero((record.model_depth.values == depth) & (record.init_end_norm.values == norm))


def norm_text(norm):
    return f"{norm:g}"


def quartiles(values):
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return "-"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def median_end(record, members):
    if "end_step" not in record.variables:
        return "-"
    return f"{np.median(record.end_step.values[members]):.0f}"


def report(record, depths, norms):
    errors = held(record.test_error)
    last = errors[-1]
    if "min_test_error" in record:
        least = record.min_test_error.values
    else:
        least = np.fmin.reduce(errors, axis=0)

    seeds = len(np.unique(record.seed.values))
    print(f"Relative error on the hidden entries, median [quartiles] over {seeds} seeds\n")
    print("depth  ||W(0)||_F       final test error    least on the way there   median steps")
    for depth in depths:
        for norm in norms:
            members = select(record, depth, norm)
            if len(members) == 0:
                continue
            print(
                f"{depth:5d}  {norm_text(norm):>10}  {quartiles(last[members]):>21}"
                f"  {quartiles(least[members]):>24}  {median_end(record, members):>13}"
            )
        print()
    if "status" in record.variables:
        count = collections.Counter(str(status) for status in record.status.values)
        print("Members: " + ", ".join(f"{n} {status}" for status, n in count.most_common()))
        if count["interrupted"] or count["pending"]:
            print("This record is of an interrupted run.")


def color_of(index, count):
    return shades(0.9 * index / max(count - 1, 1))


def draw_errors(axes, record, depths, norms):
    errors, steps = held(record.test_error), steps_of(record, record.test_error)
    for axis, depth in zip(axes, depths):
        for index, norm in enumerate(norms):
            members = select(record, depth, norm)
            if len(members) == 0 or np.isnan(errors[:, members]).all():
                continue
            # Held values go on only as far as the last member of this curve did.
            alive = ~np.isnan(record.test_error.transpose(..., "member").values[:, members]).all(axis=1)
            shown = np.flatnonzero(alive)
            shown = shown[steps[shown] > 0]
            low, middle, high = np.nanquantile(errors[np.ix_(shown, members)], [0.25, 0.5, 0.75], axis=1)
            color = color_of(index, len(norms))
            axis.fill_between(steps[shown], low, high, color=color, alpha=0.25, linewidth=0)
            axis.plot(steps[shown], middle, color=color, linewidth=1.8, label=norm_text(norm))
            axis.plot(steps[shown[-1]], middle[-1], "o", color=color, markersize=4)
        axis.set_title(f"depth {depth}")
        axis.set_xscale("log")
        axis.set_xlabel("step")
        axis.grid(True, alpha=0.3, linewidth=0.5)
    axes[0].set_ylabel("test error\n(relative, hidden entries)")
    axes[0].set_ylim(bottom=0)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].legend(
        handles, labels, title=r"$\Vert W(0)\Vert_F$", fontsize=8, title_fontsize=9, ncol=2,
        loc="lower left", frameon=False,
    )


def draw_spectrum(axis, record, depth, norm):
    member = select(record, depth, norm)[0]
    variable = record.singular_values
    values = variable.isel(member=member).transpose(sample_dimension(variable), ...).values
    steps = steps_of(record, variable)
    shown = (steps > 0) & ~np.isnan(values[:, 0])
    count = values.shape[1]
    for index in reversed(range(count)):
        axis.plot(steps[shown], values[shown, index], color=shades(0.9 * index / max(count - 1, 1)),
                  linewidth=1.4)
    seed = int(record.seed.values[member])
    axis.set_title(rf"depth {depth}, $\Vert W(0)\Vert_F$ = {norm_text(norm)}, seed {seed}", fontsize=10)
    axis.set_xscale("log")
    axis.set_xlabel("step")
    axis.grid(True, alpha=0.3, linewidth=0.5)


def draw_balance(axis, record, depths, norms):
    variable = record.balance
    worst = variable.max([name for name in variable.dims
                          if name not in ("member", sample_dimension(variable))])
    values, steps = held(worst), steps_of(record, variable)
    for depth, style in zip(depths, ["-", "--", ":", "-."]):
        for which in sorted({0, len(norms) - 1}):
            norm = norms[which]
            members = select(record, depth, norm)
            shown = np.flatnonzero((steps > 0) & (steps <= record_end(record, members)))
            middle = np.nanmedian(values[np.ix_(shown, members)], axis=1)
            axis.plot(steps[shown], middle, style, color=color_of(which, len(norms)), linewidth=1.5,
                      label=f"{depth}, {norm_text(norm)}")
    axis.set_title("departure from balance", fontsize=10)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("step")
    axis.set_ylabel(r"largest $\Vert W_{h+1}^T W_{h+1} - W_h W_h^T\Vert_F$")
    axis.grid(True, alpha=0.3, linewidth=0.5)
    axis.legend(title=r"depth, $\Vert W(0)\Vert_F$", fontsize=7.5, title_fontsize=8, frameon=False,
                loc="lower right")


def record_end(record, members):
    if "end_step" in record.variables:
        return record.end_step.values[members].max()
    return np.inf


def draw(record, depths, norms, path):
    plt.rcParams.update({
        "font.size": 10, "axes.edgecolor": ink, "axes.labelcolor": ink, "text.color": ink,
        "xtick.color": ink, "ytick.color": ink, "axes.spines.top": False, "axes.spines.right": False,
    })
    columns = max(3, len(depths))
    figure = plt.figure(figsize=(4.1 * columns, 7.6), constrained_layout=True)
    grid = figure.add_gridspec(2, columns)
    top = [figure.add_subplot(grid[0, 0])]
    top += [figure.add_subplot(grid[0, k], sharey=top[0]) for k in range(1, len(depths))]
    draw_errors(top, record, depths, norms)

    small = norms[min(1, len(norms) - 1)]
    first = figure.add_subplot(grid[1, 0])
    draw_spectrum(first, record, depths[0], small)
    first.set_ylabel(f"{record.singular_values.shape[-1]} largest singular values of W")
    second = figure.add_subplot(grid[1, 1], sharey=first)
    draw_spectrum(second, record, depths[-1], small)
    draw_balance(figure.add_subplot(grid[1, 2]), record, depths, norms)

    seeds = len(np.unique(record.seed.values))
    figure.suptitle(
        "Completion of a matrix of handwritten digits from half of its entries"
        f"\nlines: median over {seeds} seeds, bands: quartiles", fontsize=12,
    )
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="DIR", type=pathlib.Path, help="where record.nc is")
    folder = parser.parse_args().folder

    path, record = read(folder)
    depths = [int(depth) for depth in np.unique(record.model_depth.values)]
    norms = [float(norm) for norm in np.unique(record.init_end_norm.values)]
    report(record, depths, norms)
    figure = folder / "first.png"
    draw(record, depths, norms, figure)
    print(f"\nRecord: {path}\nFigure: {figure}")


if __name__ == "__main__":
    main()
