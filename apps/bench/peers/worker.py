"""One peer in a process of its own: checks and times the cases whose state directories it is given, a JSON line each.

`run_peers.py` starts it with the peer's own interpreter, so that no framework's thread pool, memory or version meets
another's. Lines are {"row": ...} or {"failed": ...} per case, {"absent": ...} where the framework is missing, and
{"floors": ...} with --floors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback

import harness


def configure(peer: str, device: str, threads: int) -> None:
    """Everything that frameworks read once, at import."""
    harness.limit_threads(threads)
    os.environ["JAX_PLATFORMS"] = device
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if peer == "jax" and device == "cpu":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={threads}".strip()


def run_case(peer, directory, arguments):
    import implementations
    import state as exchange
    import workloads

    state = exchange.load(directory)
    case = state.case
    about = {
        "name": case.name,
        "device": arguments.device,
        "precision": case.precision,
        "members": case.members,
        "peer": peer,
    }
    module = implementations.module(peer)
    offers = module.runners(state, arguments.device, arguments.threads)
    began, variants, failures, best = time.perf_counter(), {}, {}, None
    memory_before = harness.peak_memory_bytes(reset=True)
    for variant, make in offers.items():
        if best and time.perf_counter() - began > arguments.variant_seconds:
            failures[variant] = "not tried: out of time"
            continue
        try:
            runner = make()
            runner.reset()
            compiled_before = runner.compile_s
            first = time.perf_counter()
            runner.advance()
            first = time.perf_counter() - first - (runner.compile_s - compiled_before)
            result = runner.result()
            comparison = workloads.compare(state, result)
            if not comparison.agrees:
                failures[variant] = (
                    f"disagrees: {comparison.max_relative_difference:.2e} relative, "
                    f"{comparison.tolerance:.2e} allowed; {comparison.note}"
                )
                continue
            # A call that takes minutes needs no warm-up beside its compilation: the first one counts.
            seconds = first if first > arguments.case_seconds else harness.timed_call(runner)
        except Exception as error:  # a variant that fails must not take the others with it
            failures[variant] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            traceback.print_exc()
            continue
        units = workloads.units(case, result)
        variants[variant] = units / seconds
        if best is None or seconds < best[0]:
            best = (seconds, variant, runner, comparison, units)
        del runner
    if best is None:
        return {"failed": {**about, "reason": failures}}

    seconds, variant, runner, comparison, units = best
    if seconds > arguments.case_seconds:
        timing = harness.Timing(seconds, seconds, seconds, 1)
    else:
        timing = harness.measure(runner, arguments.repeats, arguments.seconds, arguments.case_seconds)
    workload = workloads.module(case.kind)
    row = {
        **about,
        "value": units / timing.median_s,
        "unit": case.unit,
        "median_of": timing.repeats,
        "quartiles": [units / timing.upper_quartile_s, units / timing.lower_quartile_s],
        "seconds": timing.median_s,
        "version": module.version(),
        "threads": arguments.threads,
        "variant": variant,
        "variants": variants,
        "compile_s": runner.compile_s,
        # Of the last minute: above `threads`, others were at work on this machine.
        "load_average": os.getloadavg()[0],
        "flops": workload.flops(case),
        "bytes": workload.bytes_moved(case),
        "checked": True,
        "checked_against": state.after_by,
        "max_relative_difference": comparison.max_relative_difference,
        "tolerance": comparison.tolerance,
        "note": comparison.note,
    }
    memory = harness.peak_memory_bytes()
    if memory and arguments.device == "cpu":
        # Of all variants tried; what the frameworks themselves occupy was there before.
        row["peak_memory_bytes"] = memory - memory_before
        row["peak_rss_bytes"] = memory
    if failures:
        row["failed_variants"] = failures
    return {"row": row}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", default="")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--case-seconds", type=float, default=60.0)
    parser.add_argument("--variant-seconds", type=float, default=120.0)
    parser.add_argument("--floors", action="store_true")
    parser.add_argument("states", nargs="*")
    arguments = parser.parse_args()

    # Frameworks print what they like: to the standard error, so that the answer stands alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(line):
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    configure(arguments.peer, arguments.device, arguments.threads)
    import implementations

    try:
        version = implementations.module(arguments.peer).version()
    except ImportError as error:
        say({"absent": {"peer": arguments.peer, "reason": f"{sys.executable}: {error}"}})
        return
    if arguments.floors:
        import floors

        rates = floors.of_numpy() if arguments.peer == "numpy" else floors.of_pytorch(arguments.device)
        say({"floors": {f"{arguments.peer} {version}": rates}})
        if arguments.device == "cuda":
            say({"accelerator": implementations.module(arguments.peer).accelerator()})
        return
    for directory in arguments.states:
        say({"begins": directory})
        try:
            say(run_case(arguments.peer, directory, arguments))
        except Exception as error:
            traceback.print_exc()
            say(
                {
                    "failed": {
                        "peer": arguments.peer,
                        "state": os.path.basename(directory),
                        "reason": f"{type(error).__name__}: {error}",
                    }
                }
            )


if __name__ == "__main__":
    main()
