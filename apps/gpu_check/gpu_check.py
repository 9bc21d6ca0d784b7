#!/usr/bin/env python3
"""Checks the CUDA backend on the GPU at hand: what no test on a machine without one can prove.

Parts run in order of value, each within its share of the budget; time that a part leaves goes to those after it. A part
that fails does not stop the others. The result file is rewritten after each part, so that a check that is cut short
keeps what it has. Needs Python 3.9 or newer and nothing else; the benchmarks of peers also need their frameworks.

  ./mf gpu-check                          from a checkout (builds first) or from an unpacked bundle
  ./mf gpu-check --parts kernels,profile --budget 120 --out results/today
  ./mf gpu-check --dry-run                the whole plumbing without a GPU: tests and runs on the emulated device, stand-ins
                                          for compute-sanitizer and ncu (needs a build with tests)

Exit code 0: every part passed or had a reason to be skipped; 1: a part failed; 2: bad arguments; 3: no GPU answers, or
something that the check itself needs is missing; 130: interrupted.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import machine  # noqa: E402
from parts import PARTS  # noqa: E402
from session import Build, OutOfTime, Session, write_json  # noqa: E402

ROOT = HERE.parents[1]
FORMAT = 1
CLOSING_SECONDS = 5.0  # of the budget, kept for ending processes and writing results


def parse(arguments):
    parser = argparse.ArgumentParser(prog="mf gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=540.0, metavar="SECONDS", help="for everything (default 540)")
    parser.add_argument("--parts", default="", metavar="A,B,...", help="only these, in this order (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu_check", metavar="DIR", help="where the results go (default results/gpu_check)")
    parser.add_argument("--dry-run", action="store_true", help="without a GPU: emulated device and stand-in tools")
    parser.add_argument("--list", action="store_true", help="the parts and their shares of the budget")
    parser.add_argument("--probe", action="store_true", help="only say which GPU answers; exit code 3 when none does")
    parser.add_argument("--build", type=Path, metavar="DIR", help="a build folder, or a bundle (default: the bundle that this is in, else build, build/cuda)")
    options = parser.parse_args(arguments)
    options.parts = [name for name in options.parts.split(",") if name] or list(PARTS)
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"there is no part '{unknown[0]}'; there are {', '.join(PARTS)}")
    if not options.budget > CLOSING_SECONDS:
        parser.error(f"--budget {options.budget:g}: expected more than {CLOSING_SECONDS:g} seconds")
    return options


def say(*lines):
    print(*lines, sep="\n", flush=True)


def fail(status, *lines):
    print(*(f"gpu-check: {line}" for line in lines), sep="\n", file=sys.stderr, flush=True)
    return status


def allowed_seconds(left, names):
    """Of what is left, the share of the first of `names`."""
    return left * PARTS[names[0]].share / sum(PARTS[name].share for name in names)


def run_part(name, session, seconds):
    part = PARTS[name]
    began = time.monotonic()
    session.begin_part(name, seconds)
    try:
        result = part.run(session)
    except OutOfTime as late:
        result = {"status": "failed", "summary": f"out of time: {late}"}
    except Exception as error:  # a part that breaks must not take the others with it
        traceback.print_exc()
        result = {"status": "failed", "summary": f"{type(error).__name__}: {error}"[:300]}
    finally:
        session.end_part()
    result["allowed_s"] = round(seconds, 1)
    result["seconds"] = round(time.monotonic() - began, 1)
    return result


def table(parts):
    width = max(map(len, parts), default=4)
    lines = [f"{'part':<{width}}  {'status':<8}{'seconds':>8}  what was found"]
    for name, part in parts.items():
        lines.append(f"{name:<{width}}  {part['status']:<8}{part['seconds']:>8.1f}  {part['summary']}")
        lines += [f"{'':<{width}}  {'':<8}{'':>8}    {line}" for line in part.get("lines", [])]
    return lines


def main(arguments=None):
    began = time.monotonic()
    options = parse(arguments)
    if options.list:
        say(*(f"{name:<12}{part.share:4.0%}  {part.what}" for name, part in PARTS.items()))
        return 0

    gpu = machine.gpu()
    if options.probe:
        say(gpu.description if gpu else f"no GPU: {machine.why_no_gpu()}")
        return 0 if gpu else 3
    if not gpu and not options.dry_run:
        return fail(3, f"no GPU answers here: {machine.why_no_gpu()}", "--dry-run goes through everything without one.")
    try:
        build = Build.find(ROOT, options.build)
        build.require("emulated" if options.dry_run else "cuda")
    except FileNotFoundError as missing:
        return fail(3, str(missing))

    device = "emulated" if options.dry_run else "cuda"
    stand_ins = HERE / "stand_ins" if options.dry_run else None
    options.out.mkdir(parents=True, exist_ok=True)
    document = {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": "mf gpu-check " + shlex.join(sys.argv[1:] if arguments is None else arguments),
        "dry_run": options.dry_run,
        "budget_s": options.budget,
        "device": gpu.document() if gpu and not options.dry_run else {"name": "emulated CUDA device", "kind": "emulated"},
        "host": machine.host(),
        "parts": {},
        "complete": False,
    }
    status = 0
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        deadline = began + options.budget - CLOSING_SECONDS
        session = Session(ROOT, build, device, Path(scratch), options.out, deadline, stand_ins)
        document["version"], document["commit"] = build.version(session)
        document["libraries"] = [str(folder) for folder in session.library_folders]
        say(f"device    {document['device']['name']}", f"program   {build.program} ({document['commit']})",
            f"results   {options.out}", f"budget    {options.budget:g} s: {', '.join(options.parts)}")
        result_file = options.out / "gpu_check.json"
        try:
            for index, name in enumerate(options.parts):
                seconds = allowed_seconds(max(0.0, deadline - time.monotonic()), options.parts[index:])
                say("", f"=== {name}: {PARTS[name].what} (at most {seconds:.0f} s)")
                result = run_part(name, session, seconds)
                document["parts"][name] = result
                status = max(status, int(result["status"] == "failed"))
                document["wall_s"] = round(time.monotonic() - began, 1)
                write_json(result_file, document)
                say(f"    {result['status']}: {result['summary']}")
            document["complete"] = True
        except KeyboardInterrupt:
            status = 130
        document["wall_s"] = round(time.monotonic() - began, 1)
        write_json(result_file, document)
    say("", f"{document['device']['name']}, commit {document['commit']}, {document['date']}, {document['wall_s']:.0f} s")
    say(*table(document["parts"]), "", f"results: {result_file}")
    return status


def interrupt(_number, _frame):
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
