"""The gradients of networks against PyTorch's autograd, in double precision, on the same weights.

    network_autograd.py PROGRAM

The program takes one step of gradient descent with rate 1, so that the weights before it less those after
it are its gradient. The nets stand a second time in apps/experiments/nets_in_pytorch.py. Exits with 77
where there is no PyTorch.
"""

import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

try:
    import torch
except ImportError:
    print("no PyTorch here")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "apps/experiments"))
from nets_in_pytorch import (  # noqa: E402
    ACTIVATIONS, Preset, Weights, cnn, conv_resnet, cross_entropy, fc, listed, logistic, resnet, squared,
    two_layer_relu)

TOLERANCE = 1e-9


def cases():
    """(name, lines of [model], data, init, function, loss, mean)."""
    gaussian = 'source = "gaussian"\nshape = {}\noutputs = {}\ncount = 5\ntargets = "{}"'
    digits = 'source = "digits"\nclasses = [3, 1, 7]\ncount = 5'

    def model(kind, **keys):
        def value(v):
            return f'"{v}"' if isinstance(v, str) else str(v).lower() if isinstance(v, bool) else str(v)

        return "\n".join([f'kind = "{kind}"'] + [f"{key} = {value(v)}" for key, v in keys.items()])

    def net(name, layers, shape, outputs=2, loss=squared, targets="random_normal", mean=False, data=None):
        text = 'kind = "network"\nlayers = [' + ", ".join(f'"{layer}"' for layer in layers) + "]"
        return (name, text, data or gaussian.format(shape, outputs, targets), "stddev = 0.5",
                listed(layers, one_dimensional=len(shape) == 1 and layers[0].startswith("conv")), loss, mean)

    for name in ACTIVATIONS:
        layer = f"{name} 0.3" if name == "leaky_relu" else name
        yield net(name, ["dense 3", layer, "output"], [4])
        yield net(f"{name}, scaled", ["dense 3 scale 0.5", f"{layer} scale 0.7", "output scale 3"], [4])
    yield net("biases", ["dense 3 bias", "tanh", "dense 3 bias scale 2", "tanh", "output bias"], [4])
    yield net("frozen", ["dense 3", "tanh", "dense 4 frozen", "tanh", "output frozen signs"], [4])
    yield net("nested blocks", ["dense 3", "tanh scale 2", "residual", "dense 3", "tanh", "residual", "tanh",
                                "dense 3", "tanh", "end scale 0.5", "end scale 3", "output"], [4])
    yield net("signals", ["conv 2 3 bias", "tanh", "conv 3 2 stride 2 padding 1", "tanh", "pool all", "flatten",
                          "output bias"], [9])
    yield net("images", ["conv 2 2x3 stride 2x1 padding 1x0 bias", "softplus", "pool 2 stride 1", "flatten",
                         "dense 3 bias", "erf", "output"], [2, 5, 6])
    yield net("convolutional block", ["conv 3 3 padding 1", "tanh", "residual", "conv 3 3 padding 1", "tanh",
                                      "end scale 0.3", "pool all", "flatten", "output"], [2, 3, 3])
    for mean in (False, True):
        layers = ["dense 4", "tanh", "output scale 1.5"]
        yield net("squared", layers, [3], 3, mean=mean)
        yield net("logistic", layers, [3], 1, logistic, "random_sign", mean)
        yield net("cross_entropy", ["flatten", *layers], [1, 8, 8], loss=cross_entropy, mean=mean, data=digits)

    def preset(name, text, shape, function, init="stddev = 0.8"):
        return name, text, gaussian.format(shape, 1, "random_normal"), init, function, squared, False

    yield preset("two_layer_relu", model("two_layer_relu", hidden=5), [4], two_layer_relu, "")
    for kind in ("standard", "ntk", "thesis"):
        for s in ("relu", "softplus", "tanh"):
            keys = {"parametrization": kind, "activation": s}
            of = Preset(kind, s)
            yield preset(f"fc {kind} {s}", model("fc", hidden=[5, 3], **keys), [4], fc(of, [5, 3]))
            of = Preset(kind, s, c_res=0.6, residual_scale=0.7)
            keys |= {"c_res": 0.6} if kind == "thesis" else {"residual_scale": 0.7}
            yield preset(f"resnet {kind} {s}", model("resnet", hidden=3, depth=4, **keys), [4], resnet(of, 3, 4))
            yield preset(f"conv_resnet {kind} {s}", model("conv_resnet", channels=2, depth=3, **keys), [2, 3, 3],
                         conv_resnet(of, 2, 3, [3, 3]))
    of = Preset("standard", "relu")
    yield preset("cnn", model("cnn", channels=[2, 3], pool=2, hidden=[4], bias=True), [1, 6, 6],
                 cnn(of, [2, 3], [3, 3], pool=2, hidden=[4], bias=True))
    yield preset("cnn with strides", model("cnn", channels=[2, 3], kernel=2, stride=2, padding=1), [2, 5, 4],
                 cnn(of, [2, 3], [2, 2], stride=2, padding=[1, 1]))
    yield preset("cnn, ntk", model("cnn", channels=[2], parametrization="ntk"), [2, 4, 4],
                 cnn(Preset("ntk", "relu"), [2], [3, 3]))


def gradient_of_program(program, folder, text):
    """What it trained on, the weights, the fixed ones, and its gradient by name."""
    file = folder / "net.toml"
    file.write_text(text)

    def run(*arguments):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{text}\nmanyfold {' '.join(map(str, arguments))}: {done.stderr}")

    run("data", "generate", file, folder / "data", "--overwrite")
    run("run", file, "--out", folder / "run", "--overwrite")
    weights = []
    for sample in (0, 1):
        out = folder / f"{sample}.npz"
        run("data", "weights", folder / "run", out, "--sample", sample, "--overwrite")
        weights.append(dict(np.load(out)))
    data = {path.stem: np.load(path) for path in (folder / "data").glob("*.npy")}
    gradient = {name: weights[0][name] - weights[1][name] for name in weights[0]}
    return data, weights[0], gradient


def gradient_of_torch(function, loss, mean, data, weights):
    trained = {name: torch.from_numpy(w).requires_grad_() for name, w in weights.items()}
    fixed = {name: torch.from_numpy(w) for name, w in data.items() if name.startswith("W_")}
    x = torch.from_numpy(data["inputs"])
    y = torch.from_numpy(data["targets"]).reshape(len(x), -1)
    losses = loss(function(Weights(trained, fixed), x), y)
    (losses.mean() if mean else losses.sum()).backward()
    return {name: w.grad.numpy() for name, w in trained.items()}


def main():
    program, worst, failed, count = sys.argv[1], 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, model, data, init, function, loss, mean in cases():
            text = (f'problem.seed = 3\nseed = 5\nprecision = "f64"\n[model]\n{model}\n[data]\n{data}\n[objective]\n'
                    f'loss = "{loss.__name__}"\nreduction = "{"mean" if mean else "sum"}"\n'
                    f'[init]\nkind = "gaussian"\n{init}\n[optimizer]\nkind = "gd"\nlearning_rate = 1.0\n'
                    "[stop]\nsteps = 1\n[probes]\nparameters = { every = 1 }\n")
            arrays, weights, found = gradient_of_program(program, pathlib.Path(folder), text)
            expected = gradient_of_torch(function, loss, mean, arrays, weights)
            for array, wanted in expected.items():
                size = np.linalg.norm(wanted)
                distance = np.linalg.norm(found[array] - wanted) / size if size > 0 else math.inf
                worst, count = max(worst, distance), count + 1
                if not distance < TOLERANCE:
                    failed += 1
                    print(f"{name}: the gradient of {array} is {distance:.1e} of its size away from autograd's")
    print(f"{count} arrays of weights, at most {worst:.1e} from PyTorch {torch.__version__}'s gradient; "
          f"{failed} further than {TOLERANCE:g}")
    sys.exit(failed > 0 or count == 0)


main()
