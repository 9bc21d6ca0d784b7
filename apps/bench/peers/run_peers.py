#!/usr/bin/env python3
"""Measures the peers: for each workload and framework, first that it computes the known result, then how fast.

    ./setup.sh && ./run_peers.py --scale quick --json peers.json
    ./run_peers.py --workloads greedy-2,table --peers jax,pytorch --precision f64 --threads 2 --json peers.json
    ./run_peers.py --cases greedy-2-full.m256.f64 --json peers.json
    ./run_peers.py --state DIR --json peers.json        problems, starts and results exported by manyfold

Rows are written after each (workload, peer): an interrupted run keeps what it has. Exit code 0: everything that could
run agreed; 1: some peer disagreed or failed; 2: bad input; 130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT_VENV = HERE.parents[2] / "build" / "peers"


def interpreter(venv: Path, environment: str) -> str:
    """The environment's Python where setup.sh made one, else this one (a machine with the frameworks installed)."""
    python = venv / environment / "bin" / "python"
    return str(python) if python.exists() else sys.executable


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="all", help="names or their beginnings, comma-separated (default all)")
    parser.add_argument("--cases", help="exactly these, as --list names them: greedy-2-full.m256.f64,jumps-3.m64.f32")
    parser.add_argument(
        "--peers", default="all", help="numpy,lapack,jax,pytorch,torch.func,neural-tangents (default all)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", default="f32,f64")
    parser.add_argument("--state", type=Path, help="a state directory, or a directory of them; default: draw our own")
    parser.add_argument("--write-state", type=Path, help="only draw the problems and write them here")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--scale", choices=("quick", "full"), default="quick")
    parser.add_argument("--repeats", type=int, default=5, help="at least so many timed calls (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="and at least so long (default 1)")
    parser.add_argument("--case-seconds", type=float, default=60.0, help="but no longer than this (default 60)")
    parser.add_argument(
        "--variant-seconds", type=float, default=120.0, help="time for choosing among variants (default 120)"
    )
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds until a (workload, peer) is given up")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds for everything")
    parser.add_argument("--venv", type=Path, default=DEFAULT_VENV, help="where setup.sh put the environments")
    parser.add_argument("--json", type=Path, help="result file; rows of an earlier run of it are not kept")
    parser.add_argument("--list", action="store_true", help="the workloads at this scale, without running any")
    return parser.parse_args()


def command_line() -> str:
    """As it was called, without the paths, which say nothing about what was measured."""
    words, kept = iter(sys.argv[1:]), ["run_peers.py"]
    for word in words:
        if word in ("--json", "--venv", "--state"):
            next(words, None)
        elif not word.startswith(("--json=", "--venv=", "--state=")):
            kept.append(word)
    return " ".join(kept)


class Stop(Exception):
    """The budget is spent."""


class Session:
    """What has been measured so far, and the workers that measure it."""

    def __init__(self, options, document):
        self.options, self.document = options, document
        self.began = time.monotonic()

    def left(self):
        return self.options.budget - (time.monotonic() - self.began)

    def save(self):
        import harness

        self.document["wall_s"] = time.monotonic() - self.began
        if self.options.json:
            harness.write_json(self.options.json, self.document)

    def work(self, peer, arguments, cases=()):
        """The worker's answers; a case that outlives the timeout is noted and the worker restarted behind it."""
        waiting = list(cases)
        while True:
            finished = yield from self.one_worker(peer, arguments, waiting)
            if finished or not waiting:
                return

    def one_worker(self, peer, arguments, waiting):
        environment = "neural-tangents" if peer == "neural-tangents" else "main"
        command = [
            interpreter(self.options.venv, environment),
            str(HERE / "worker.py"),
            "--peer",
            peer,
            "--device",
            self.options.device,
            "--threads",
            str(self.options.threads),
            *arguments,
            *map(str, waiting),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, cwd=HERE)
        selector = selectors.DefaultSelector()
        selector.register(process.stdout, selectors.EVENT_READ)
        pending, ended = b"", False
        try:
            while not ended:
                if not selector.select(max(0.0, min(self.options.timeout, self.left()))):
                    if self.left() <= 0:
                        raise Stop
                    yield self.failure(peer, waiting, f"no answer in {self.options.timeout:.0f} s")
                    return False
                data = os.read(process.stdout.fileno(), 2**16)
                ended = not data
                *lines, pending = (pending + data).split(b"\n")
                for answer in map(json.loads, lines):
                    if "begins" in answer:
                        continue
                    if "absent" in answer:
                        waiting.clear()
                    elif waiting:
                        waiting.pop(0)
                    yield answer
        finally:
            if not ended:
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        if waiting:
            yield self.failure(peer, waiting, f"the worker died with exit code {code} (memory?)")
            return False
        return True

    @staticmethod
    def failure(peer, waiting, reason):
        return {"failed": {"peer": peer, "state": waiting.pop(0).name if waiting else "", "reason": reason}}


def share_of_floor(row, floors):
    """What the row reaches of the measured peaks; that of bytes says nothing about a program that stays in cache."""
    gemm, copy = floors.get(f"gemm_{row['precision']}"), floors.get("copy")
    if gemm:
        row["share_of_flop_floor"] = row["value"] * row["flops"] / gemm["value"]
    if copy:
        row["share_of_byte_floor"] = row["value"] * row["bytes"] / copy["value"]


def describe(row):
    label = f"{row['name']} {row['members']} {row['precision']}"
    share = f"{row['share_of_flop_floor']:6.1%} of gemm" if "share_of_flop_floor" in row else ""
    lower, upper = row["quartiles"]
    return (
        f"{label:36s} {row['peer']:16s} {row['value']:10.4g} {row['unit']:15s} {share}  "
        f"[{lower:.3g}, {upper:.3g}]  compiled {row['compile_s']:.1f} s  "
        f"differs {row['max_relative_difference']:.0e}  {row['variant']}"
    )


def main():
    options = parse()
    python = interpreter(options.venv, "main")
    if python != sys.executable and not os.environ.get("PEERS_INTERPRETER"):
        os.environ["PEERS_INTERPRETER"] = python
        os.execv(python, [python, __file__, *sys.argv[1:]])
    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.exit(f"{sys.executable} has no NumPy: run {HERE / 'setup.sh'}, or this script with a Python that has it")

    import floors as floor_tools
    import harness
    import implementations
    import state as exchange
    import workloads

    try:
        precisions = options.precision.split(",")
        peers = list(implementations.MODULES) if options.peers == "all" else options.peers.split(",")
        unknown = set(peers) - set(implementations.MODULES)
        if unknown:
            raise ValueError(f"no peer '{sorted(unknown)[0]}'; there are {', '.join(implementations.MODULES)}")
        if options.state:
            found = exchange.directories(options.state)
            if not found:
                raise ValueError(f"{options.state}: no workload.json there nor one folder below")
            given = {key: exchange.load_case(path) for key, path in found.items()}
            cases = workloads.select(list(given.values()), options.workloads.split(","), precisions)
        else:
            found = {}
            cases = workloads.select(workloads.all_cases(options.scale), options.workloads.split(","), precisions)
        if options.cases:
            wanted, known = options.cases.split(","), {case.key: case for case in cases}
            for key in wanted:
                if key not in known:
                    raise ValueError(f"no case '{key}'; there are {', '.join(known)}")
            cases = [case for case in cases if case.key in wanted]
        if not cases:
            raise ValueError(f"no workload of precision {options.precision} among those named")
        if options.threads < 1 or options.threads > len(os.sched_getaffinity(0)):
            raise ValueError(f"--threads {options.threads}: this machine offers 1 to {len(os.sched_getaffinity(0))}")
    except (ValueError, FileNotFoundError) as error:
        print(f"run_peers.py: {error}", file=sys.stderr)
        return 2
    if options.list:
        for case in cases:
            workload = workloads.module(case.kind)
            operations, moved = workload.flops(case), workload.bytes_moved(case)
            print(f"{case.key:32s} {operations:10.4g} FLOP and {moved:10.4g} bytes per unit, {case.unit}")
        return 0
    if options.write_state:
        for case in cases:
            exchange.save(options.write_state / case.key, workloads.draw(case))
            print(options.write_state / case.key)
        return 0

    document = {
        "command": command_line(),
        "host": {**harness.host(), "device": options.device, "threads": options.threads, "versions": {}},
        "scale": "given" if options.state else options.scale,
        "floors": {},
        "rows": [],
        "skipped": [],
        "failed": [],
        "complete": False,
    }
    if document["host"]["load_at_start"] > 0.5:
        load = document["host"]["load_at_start"]
        print(f"warning: others are at work here (load {load:.1f}): rates will be low, most of all with barriers", flush=True)
    session = Session(options, document)
    settings = [
        "--repeats",
        str(options.repeats),
        "--seconds",
        str(options.seconds),
        "--case-seconds",
        str(options.case_seconds),
        "--variant-seconds",
        str(options.variant_seconds),
    ]
    scratch = Path(tempfile.mkdtemp(prefix="peers-state-"))
    absent = set()
    try:
        measured = {}
        for peer in ("numpy", "pytorch") if options.device == "cpu" else ("pytorch",):
            for answer in session.work(peer, ["--floors"]):
                measured.update(answer.get("floors", {}))
                if "accelerator" in answer:
                    document["host"]["accelerator"] = answer["accelerator"]
        document["floors"] = floor_tools.best(measured)
        for name, floor in document["floors"].items():
            print(
                f"{name:10s} {floor['value'] / 1e9:8.1f} G{floor['unit']} through {floor['measured_through']}",
                flush=True,
            )

        # Kind by kind, so that at most one kind's states lie on disk.
        for kind in dict.fromkeys(case.kind for case in cases):
            drawn = []
            for case in (c for c in cases if c.kind == kind):
                directory = found.get(case.key)
                if directory is None or not any(directory.glob(exchange.AFTER + "*.npy")):
                    state = workloads.draw(case) if directory is None else workloads.complete(exchange.load(directory))
                    directory = scratch / case.key
                    exchange.save(directory, state)
                drawn.append(directory)
            for peer in peers:
                if peer in absent or not implementations.offers(peer, kind, options.device):
                    continue
                for answer in session.work(peer, settings, drawn):
                    if "row" in answer:
                        row = answer["row"]
                        share_of_floor(row, document["floors"])
                        row["command"] = document["command"]
                        document["rows"].append(row)
                        document["host"]["versions"][peer] = row["version"]
                        print(describe(row), flush=True)
                    elif "absent" in answer:
                        absent.add(peer)
                        document["skipped"].append(answer["absent"])
                        print(f"skipped: {peer}: {answer['absent']['reason']}", flush=True)
                    else:
                        document["failed"].append(answer["failed"])
                        print(f"FAILED: {answer['failed']}", flush=True)
                    session.save()
            for directory in drawn:
                if scratch in directory.parents:
                    shutil.rmtree(directory)
        document["complete"] = True
    except Stop:
        print(f"stopped: the budget of {options.budget:.0f} s is spent", flush=True)
    except KeyboardInterrupt:
        session.save()
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    session.save()
    print(f"{len(document['rows'])} rows, {len(document['failed'])} failed, {len(document['skipped'])} skipped")
    return 1 if document["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
