#!/usr/bin/env python3
"""Stands in for apps/bench/peers/run_peers.py on a GPU (gpu_check.py --dry-run): two planted rows and one that failed, as that
script writes them, into the file that --json names."""

import json
import sys

ROW = {"name": "greedy-3", "device": "cuda", "precision": "f64", "members": 256, "value": 1.5e6, "unit": "member-steps/s", "median_of": 5,
       "quartiles": [1.4e6, 1.6e6], "threads": 1, "compile_s": 2.5, "checked": True}
DOCUMENT = {
    "host": {"device": "cuda", "versions": {"jax": "0.0", "pytorch": "0.0"}},
    "floors": {"gemm_f64": {"value": 5.0e13, "unit": "FLOP/s", "measured_through": "pytorch 0.0"},
               "copy": {"value": 2.5e12, "unit": "B/s", "measured_through": "pytorch 0.0"}},
    "rows": [{**ROW, "peer": "jax", "version": "0.0", "variant": "vmap"}, {**ROW, "peer": "pytorch", "version": "0.0", "variant": "graph", "value": 2.0e6}],
    "skipped": [], "failed": [{"peer": "torch.func", "state": "greedy-3.m256.f64", "reason": "planted"}], "complete": True,
}
with open(sys.argv[sys.argv.index("--json") + 1], "w") as file:
    json.dump(DOCUMENT, file)
sys.exit(1)
