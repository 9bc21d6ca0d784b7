"""The peers. A module per framework, found by name; each offers

version() -> str                             raises ImportError, with the reason, where the framework is absent
runners(state, device, threads) -> dict      variant -> a function that makes its `harness.Runner`
"""

import importlib

MODULES = {
    "numpy": "numpy_peer",
    "lapack": "lapack_peer",
    "jax": "jax_peer",
    "pytorch": "pytorch_peer",
    "torch.func": "torch_func_peer",
    "neural-tangents": "neural_tangents_peer",
}
CPU_ONLY = ("numpy", "lapack", "neural-tangents")
# Kinds of workload that a peer has a form of, where not all.
KINDS = {
    "lapack": ("svd", "least_eigenvalue", "pattern_gram"),
    "torch.func": ("factorization", "two_layer_relu", "fully_connected", "cnn", "tangent_kernel"),
    "neural-tangents": ("tangent_kernel",),
}


def module(peer: str):
    if peer not in MODULES:
        raise ValueError(f"no peer '{peer}'; there are {', '.join(MODULES)}")
    return importlib.import_module(f"implementations.{MODULES[peer]}")


def offers(peer: str, kind: str, device: str) -> bool:
    return (device == "cpu" or peer not in CPU_ONLY) and kind in KINDS.get(peer, (kind,))
