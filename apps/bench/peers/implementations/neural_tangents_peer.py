"""neural-tangents 0.6.5: the empirical tangent kernel by each of its implementations."""

from __future__ import annotations

import time

import jax
import numpy as np

import neural_tangents_names  # noqa: F401, isort: skip
import neural_tangents as nt

from harness import FunctionRunner

jax.config.update("jax_default_matmul_precision", "highest")


def version():
    return f"{nt.__version__} (JAX {jax.__version__})"


def tangent_kernel(state):
    """`nt.stax` layers would bring their own scales; `empirical_ntk_fn` takes any apply function, so the net is written
    over the workload's own parameters. It must not transpose them: the rules for structured derivatives know a
    parameter only where it enters a product itself (`points @ w.T` took 80 times as long as this and 20 times the
    memory)."""
    depth = state.case["depth"]
    weights = [jax.numpy.asarray(state.arrays[f"W_{layer}"][0]) for layer in range(1, depth + 2)]
    x = jax.numpy.asarray(state.arrays["inputs"])

    def dense(points, w):
        return jax.lax.dot_general(points, w, (((1,), (1,)), ((), ())))

    def apply(parameters, points):
        for w in parameters[:-1]:
            points = np.sqrt(2 / len(w)).astype(points.dtype) * jax.nn.relu(dense(points, w))
        return dense(points, parameters[-1])

    def offer(implementation):
        def make():
            kernel = nt.empirical_ntk_fn(apply, vmap_axes=0, trace_axes=(-1,), implementation=implementation)
            began = time.perf_counter()
            compiled = jax.jit(lambda points, parameters: kernel(points, None, parameters)).lower(x, weights).compile()
            seconds = time.perf_counter() - began
            return FunctionRunner(lambda: {"kernel": jax.block_until_ready(compiled(x, weights))}, np.asarray, seconds)

        return make

    offers = {"structured derivatives": offer(nt.NtkImplementation.STRUCTURED_DERIVATIVES)}
    if len(x) * sum(w.size for w in weights) * state.case.dtype.itemsize < 2**28:
        # n^2 passes through the net, or an n x parameters Jacobian: out of the question beyond small sizes.
        offers["NTK-vector products"] = offer(nt.NtkImplementation.NTK_VECTOR_PRODUCTS)
        offers["Jacobian contraction"] = offer(nt.NtkImplementation.JACOBIAN_CONTRACTION)
    return offers


OFFERS = {"tangent_kernel": tangent_kernel}


def runners(state, device, threads):
    jax.config.update("jax_enable_x64", state.case.precision == "f64")
    return OFFERS[state.case.kind](state)
