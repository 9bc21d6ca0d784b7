"""Trains the nets of fashion_cnn.toml or fashion_resnet.toml in PyTorch, from the same starts, and compares
the training accuracy that both reach.

    fashion_in_pytorch.py PROGRAM EXPERIMENT.toml

Needs PyTorch and NumPy. PROGRAM runs the experiment and hands out the images and each member's start. Exits
with 1 where the mean accuracies are further apart than the seeds' spread in PyTorch.
"""

import pathlib
import subprocess
import sys
import tempfile
import tomllib

import numpy as np
import torch

from nets_in_pytorch import Preset, Weights, cnn, conv_resnet, cross_entropy


def net_of(model):
    if model["kind"] == "cnn":
        return cnn(Preset("standard", "relu"), model["channels"], [3, 3], pool=model["pool"], bias=model["bias"])
    return conv_resnet(Preset("standard", "relu", residual_scale=model["residual_scale"]), model["channels"],
                       model["depth"], [3, 3], bias=model["bias"])


def train(experiment, weights, images, labels):
    """The training accuracy after the experiment's steps."""
    net = net_of(experiment["model"])
    trained = {name: torch.from_numpy(w).float().requires_grad_() for name, w in weights.items()}
    # The program's Adam adds epsilon to the corrected root, as PyTorch does.
    adam = torch.optim.Adam(trained.values(), lr=experiment["optimizer"]["learning_rate"], eps=1e-8)
    for _ in range(experiment["stop"]["steps"]):
        adam.zero_grad()
        cross_entropy(net(Weights(trained, {}), images), labels).mean().backward()
        adam.step()
    with torch.no_grad():
        f = net(Weights(trained, {}), images)
        return float((f.argmax(1) == labels.argmax(1)).float().mean())


def main():
    program, file = sys.argv[1], pathlib.Path(sys.argv[2])
    experiment = tomllib.loads(file.read_text())
    first, last = experiment["sweep"]["seed"]["range"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def run(*arguments):
            subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

        run("run", file, "--out", folder / "run", "--quiet")
        run("data", "generate", file, folder / "data")
        images = torch.from_numpy(np.load(folder / "data/inputs.npy")).float()
        labels = torch.from_numpy(np.load(folder / "data/targets.npy")).float()
        run("data", "convert", folder / "run/record.nc", folder / "accuracy.npy", "--variable", "accuracy")
        ours = np.load(folder / "accuracy.npy")[:, -1]
        theirs = []
        for member in range(last - first):
            out = folder / f"{member}.npz"
            run("data", "weights", folder / "run", out, "--member", member, "--sample", 0)
            theirs.append(train(experiment, dict(np.load(out)), images, labels))
            print(f"seed {first + member}: {ours[member]:.3f} here, {theirs[-1]:.3f} in PyTorch", flush=True)
    apart = abs(np.mean(ours) - np.mean(theirs))
    spread = max(theirs) - min(theirs)
    print(f"mean {np.mean(ours):.4f} here, {np.mean(theirs):.4f} in PyTorch: {apart:.4f} apart; "
          f"the seeds' spread in PyTorch is {spread:.4f}")
    sys.exit(int(apart > spread))


main()
