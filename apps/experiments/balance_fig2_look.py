#!/usr/bin/python3
"""Claims 2 and 3 of figure 2 (Du, Hu, Lee 2018; thesis, figure 4.2) about a record of balance_fig2.toml, and the
figure.

    balance_fig2_look.py FOLDER    has record.nc; gets balance_fig2.png where matplotlib is there

Exits with 1 where a claim fails.
"""

import sys

import numpy as np
import xarray

folder = sys.argv[1]
record = xarray.open_dataset(f"{folder}/record.nc")
balanced, unbalanced = (record.isel(member=m) for m in (0, 1))
failed = False


def claim(text, holds):
    global failed
    failed |= not holds
    print(("holds  " if holds else "FAILS  ") + text)


for start in (balanced, unbalanced):
    norms = start.layer_norm2.values[-1]
    print(f"member {int(start.member)}: squared norms of the layers at step {int(start.step[-1])}: "
          + ", ".join(f"{norm:.2f}" for norm in norms) + f"; train loss {float(start.train_loss[-1]):.3g}")

final = balanced.layer_norm2.values[-1]
gap = np.abs(balanced.layer_norm2_difference.values).max()
claim(f"2: a balanced start's differences stay below 1 % of the final norm: at most {gap:.3f} of {final.min():.1f}",
      gap < 0.01 * final.min())
ratios = final[:-1] / final[1:]
claim("2: the ratios of its final norms are within 5 % of 1: " + ", ".join(f"{r:.4f}" for r in ratios),
      bool((np.abs(ratios - 1) < 0.05).all()))
differences = unbalanced.layer_norm2_difference.values
change = np.abs(differences - differences[0]).max(axis=0) / np.abs(differences[0])
claim("3: an unbalanced start's differences change by less than 5 % of their first values: "
      + ", ".join(f"{100 * c:.2f} %" for c in change), bool((change < 0.05).all()))
final = unbalanced.layer_norm2.values[-1]
ratios = final[:-1] / final[1:]
claim("3: yet the ratios of its norms come within 25 % of 1: " + ", ".join(f"{r:.3f}" for r in ratios),
      bool((np.abs(ratios - 1) < 0.25).all()))

try:
    import matplotlib
except ImportError:
    print("no matplotlib: no figure")
    sys.exit(int(failed))
matplotlib.use("Agg")
import matplotlib.pyplot as plot  # noqa: E402

figure, axes = plot.subplots(2, 2, figsize=(9, 6), sharex=True, layout="constrained")
for row, (start, name) in enumerate(((balanced, "balanced start"), (unbalanced, "unbalanced start"))):
    for pair in (0, 1):
        h = pair + 1
        step = start.step.values
        axes[row, 0].plot(step, start.layer_norm2_difference.values[:, pair], label=f"$||W_{h}||^2 - ||W_{h + 1}||^2$")
        axes[row, 1].plot(step, start.layer_norm2_ratio.values[:, pair], label=f"$||W_{h}||^2 / ||W_{h + 1}||^2$")
    axes[row, 0].set_title(name)
    for axis in axes[row]:
        axis.legend()
for axis in axes[1]:
    axis.set_xlabel("step")
figure.savefig(f"{folder}/balance_fig2.png", dpi=120)
print(f"{folder}/balance_fig2.png")
sys.exit(int(failed))
