"""Networks in PyTorch as manyfold has them: the layers, the presets and their scales (Du 2019, thesis,
equations 2.1, 3.2 to 3.4), the losses; as functions of the weights that `manyfold data weights` and
`manyfold data generate` write.
"""

import math

import numpy as np
import torch
import torch.nn.functional as functional


def softplus(z):
    return torch.logaddexp(z, torch.zeros_like(z))


ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "leaky_relu": lambda z, slope=0.01: functional.leaky_relu(z, slope),
    "softplus": softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
}


def mean_square(activation):
    """E[s(z)^2] of a standard normal z, by Gauss and Hermite's quadrature on each side of the kink."""
    z, weight = np.polynomial.legendre.leggauss(400)
    z, weight = 20 * (z + 1), 20 * weight  # (0, 40)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    values = activation(torch.from_numpy(z)).numpy() ** 2 + activation(torch.from_numpy(-z)).numpy() ** 2
    return float(np.sum(weight * density * values))


class Weights:
    """The arrays W_1, b_1, ... in the order in which a network asks for them."""

    def __init__(self, arrays, fixed):
        self.arrays, self.fixed = arrays, fixed
        self.layer = 0

    def next(self, name):
        if name == "W":
            self.layer += 1
        key = f"{name}_{self.layer}"
        return self.arrays[key] if key in self.arrays else self.fixed[key]

    def dense(self, x, bias=False, scale=1.0):
        y = scale * (x @ self.next("W").T)
        return y + self.next("b").reshape(-1) if bias else y

    def conv(self, x, kernel, stride, padding, bias=False, scale=1.0):
        """x: (example, channel, height, width); a row of W is (tap row, tap column, channel)."""
        w = self.next("W")
        w = w.reshape(w.shape[0], *kernel, x.shape[1]).permute(0, 3, 1, 2)
        y = scale * functional.conv2d(x, w, stride=stride, padding=padding)
        return y + self.next("b").reshape(1, -1, 1, 1) if bias else y


def flat(x):
    """Channel last, as the program keeps images."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1) if x.dim() == 4 else x


def pair(text):
    """3 or 3x5."""
    numbers = [int(n) for n in text.split("x")]
    return numbers if len(numbers) == 2 else numbers * 2


def listed(layers, one_dimensional=False):
    """The function of model.layers; signals are images of one channel and height 1."""

    def sizes(words, key, default):
        if key not in words:
            return default
        height, width = pair(words[words.index(key) + 1])
        return ([0, width] if key == "padding" else [1, width]) if one_dimensional else [height, width]

    def apply(weights, x):
        if one_dimensional:
            x = x[:, None, None, :]
        blocks = []
        for text in layers:
            words = text.split()
            scale = float(words[words.index("scale") + 1]) if "scale" in words else 1.0
            if words[0] in ("dense", "output"):
                x = weights.dense(x, "bias" in words, scale)
            elif words[0] == "conv":
                kernel = pair(words[2])
                if one_dimensional:
                    kernel = [1, kernel[1]]
                x = weights.conv(x, kernel, sizes(words, "stride", [1, 1]), sizes(words, "padding", [0, 0]),
                                 "bias" in words, scale)
            elif words[0] == "pool":
                kernel = list(x.shape[2:]) if words[1] == "all" else pair(words[1])
                if one_dimensional:
                    kernel = [1, kernel[1]]
                x = functional.avg_pool2d(x, kernel, sizes(words, "stride", kernel))
            elif words[0] == "flatten":
                x = flat(x)
            elif words[0] == "residual":
                blocks.append(x)
            elif words[0] == "end":
                x = blocks.pop() + scale * x
            else:
                slope = [float(words[1])] if words[0] == "leaky_relu" else []
                x = scale * ACTIVATIONS[words[0]](x, *slope)
        return x

    return apply


def two_layer_relu(weights, x):
    hidden = torch.relu(weights.dense(x))
    return weights.dense(hidden, scale=1 / math.sqrt(hidden.shape[1]))


class Preset:
    """The scales of a parametrization."""

    def __init__(self, parametrization, activation, c_res=None, residual_scale=1.0):
        self.kind, self.s = parametrization, ACTIVATIONS[activation]
        self.c_res, self.residual_scale = c_res, residual_scale

    def fan(self, count):
        return 1 / math.sqrt(count) if self.kind == "ntk" else 1.0

    def after(self, width):
        return math.sqrt(1 / mean_square(self.s) / width) if self.kind == "thesis" else 1.0

    def block(self, width, hidden):
        return self.c_res / (hidden * math.sqrt(width)) if self.kind == "thesis" else self.residual_scale


def fc(preset, hidden, bias=False):
    def apply(weights, x):
        x = x.reshape(len(x), -1)
        for width in hidden:
            x = preset.after(width) * preset.s(weights.dense(x, bias, preset.fan(x.shape[1])))
        return weights.dense(x, bias, preset.fan(x.shape[1]))

    return apply


def resnet(preset, width, depth):
    def apply(weights, x):
        x = preset.after(width) * preset.s(weights.dense(x, scale=preset.fan(x.shape[1])))
        for _ in range(depth - 2):
            x = x + preset.block(width, depth - 1) * preset.s(weights.dense(x, scale=preset.fan(width)))
        return weights.dense(x, scale=preset.fan(width))

    return apply


def conv_resnet(preset, channels, depth, kernel, bias=False):
    padding = [k // 2 for k in kernel]

    def apply(weights, x):
        def conv(x):
            return weights.conv(x, kernel, 1, padding, bias, preset.fan(x.shape[1] * kernel[0] * kernel[1]))

        x = preset.after(channels) * preset.s(conv(x))
        for _ in range(depth - 2):
            x = x + preset.block(channels, depth - 1) * preset.s(conv(x))
        x = flat(x)
        return weights.dense(x, bias, preset.fan(x.shape[1]))

    return apply


def cnn(preset, channels, kernel, stride=1, padding=None, pool=1, hidden=(), bias=False):
    def apply(weights, x):
        for count in channels:
            fan = preset.fan(x.shape[1] * kernel[0] * kernel[1])
            x = weights.conv(x, kernel, stride, [k // 2 for k in kernel] if padding is None else padding, bias, fan)
            x = preset.after(count) * preset.s(x)
            if pool > 1:
                x = functional.avg_pool2d(x, pool)
        return fc(preset, hidden, bias)(weights, flat(x))

    return apply


def squared(f, y):
    return (f - y).square().sum(1) / 2


def cross_entropy(f, y):
    return functional.cross_entropy(f, y.argmax(1), reduction="none")


def logistic(f, y):
    return softplus(-y * f).sum(1)
