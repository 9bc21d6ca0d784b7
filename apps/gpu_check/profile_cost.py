#!/usr/bin/env python3
"""What `manyfold run --profile` costs: runs an experiment with and without it in turns, in an order that is reversed from pair
to pair so that drift hits both alike, and prints the median ratio of their times with its quartiles.

    apps/gpu_check/profile_cost.py build/bin/manyfold run apps/experiments/first.toml --device cpu
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile


def seconds(command, profile: bool, out: str, cpu: bool, environment=None, limit=None) -> float:
    """Of the run itself as the program counts it, without start-up; or the processor time that the process took."""
    words = [*map(str, command), "--quiet", "--json", "--overwrite", "--out", out, *(["--profile"] if profile else [])]
    before = os.times()
    done = subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, env=environment, timeout=limit)
    after = os.times()
    if cpu:
        return after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(done.stdout.splitlines()[-1])["seconds"]


def measure(command, pairs: int, cpu: bool = False, environment=None, limit=None) -> dict:
    ratios, plain = [], []
    with tempfile.TemporaryDirectory(prefix="profile-cost-") as out:
        seconds(command, False, out, cpu, environment, limit)
        for pair in range(pairs):
            order = (False, True) if pair % 2 == 0 else (True, False)
            took = {profile: seconds(command, profile, out, cpu, environment, limit) for profile in order}
            ratios.append(took[True] / took[False])
            plain.append(took[False])
    lower, middle, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return {"ratio": middle, "quartiles": [lower, upper], "pairs": pairs, "seconds": statistics.median(plain)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--cpu-time", action="store_true", help="processor time of the process: on a machine that others use, too")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command or options.pairs < 2:
        parser.error("expected a manyfold run, and at least 2 pairs")
    cost = measure(options.command, options.pairs, options.cpu_time)
    print(f"with --profile / without: {cost['ratio']:.4f} (quartiles {cost['quartiles'][0]:.4f}, {cost['quartiles'][1]:.4f}), "
          f"{cost['pairs']} pairs of {cost['seconds']:.2f} s of {'processor time' if options.cpu_time else 'the run'}")


if __name__ == "__main__":
    sys.exit(main())
