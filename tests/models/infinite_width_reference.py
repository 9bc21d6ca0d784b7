"""Writes infinite_width_reference.json: kernels of infinitely wide fully connected networks by neural-tangents.

    python infinite_width_reference.py > infinite_width_reference.json

in the environment that apps/bench/peers/setup.sh makes for neural-tangents (0.6.5 under JAX 0.5.3, with the names put
back that newer versions of JAX lack), in double precision. Layers are `stax.Dense` in NTK parametrization, so a layer's
W_std is a factor of W x / sqrt(fan in): for `thesis` sqrt(d) in the first and sqrt(c_s), c_s = 1/E[s(z)^2], in those
behind an activation (eq. 3.2 of Du 2019), for `ntk` 1 in all of them. Matrices are kept as their lower triangles, row by
row.
"""

import json
import math
import sys
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "apps" / "bench" / "peers"))
import neural_tangents_names  # noqa: E402, F401

jax.config.update("jax_enable_x64", True)

import neural_tangents as nt  # noqa: E402
from neural_tangents import stax  # noqa: E402

EXAMPLES, DIMENSION, DEPTHS = 5, 7, range(1, 9)
LEAKY_SLOPE = 0.2
ACTIVATIONS = {
    "relu": (stax.Relu(), 2.0),
    "leaky_relu": (stax.LeakyRelu(LEAKY_SLOPE), 2 / (1 + LEAKY_SLOPE**2)),
    "erf": (stax.Erf(), 1 / (2 / math.pi * math.asin(2 / 3))),
}


def inputs():
    """Unit vectors, but for the last, among them two that are nearly parallel and two that are nearly opposite."""
    x = np.random.default_rng(7).standard_normal((EXAMPLES, DIMENSION))
    x[1] = x[0] + 1e-2 * x[1]
    x[2] = -x[0] + 0.1 * x[2]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[-1] *= 1.5
    return x


def kernels(activation, depth, first, rest, x):
    layers = []
    for h in range(depth):
        layers += [stax.Dense(1, W_std=first if h == 0 else rest, b_std=None), activation]
    _, _, kernel_fn = stax.serial(*layers, stax.Dense(1, W_std=rest, b_std=None))
    both = kernel_fn(x, None, ("nngp", "ntk"))
    lower = np.tril_indices(EXAMPLES)
    return {"nngp": np.asarray(both.nngp)[lower].tolist(), "tangent": np.asarray(both.ntk)[lower].tolist()}


def main():
    x = inputs()
    cases = []
    for name, (activation, c_s) in ACTIVATIONS.items():
        for parametrization in ("thesis", "ntk"):
            scales = (math.sqrt(DIMENSION), math.sqrt(c_s)) if parametrization == "thesis" else (1.0, 1.0)
            for depth in DEPTHS:
                cases.append(
                    {
                        "activation": name,
                        "parametrization": parametrization,
                        "depth": depth,
                        **kernels(activation, depth, *scales, x),
                    }
                )
    print(f'{{\n "made_by": "neural-tangents {nt.__version__}, JAX {jax.__version__}",')
    print(f' "examples": {EXAMPLES},\n "dimension": {DIMENSION},\n "leaky_slope": {LEAKY_SLOPE},')
    print(f' "inputs": {json.dumps(x.ravel().tolist())},\n "cases": [')
    print(",\n".join("  " + json.dumps(case) for case in cases))
    print(" ]\n}")


if __name__ == "__main__":
    main()
