#!/usr/bin/env python3
"""Makes a results file (README.md beside this) from what `./mf gpu-check` left, or from benchmarks that it runs on a CPU.

    apps/bench/results/collect.py --gpu-check results/gpu_check
    apps/bench/results/collect.py --device cpu [--program build/bin/manyfold] [--peers peers.json ...] [--threads N]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FORMAT = 1


class Refusal(Exception):
    pass


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm|c)\)", "", name.lower())).strip("-")


def read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Refusal(f"{path}: {error}")


def merged(documents: list[dict]) -> dict | None:
    """Several runs of the peers as one: of equal cases the last row counts, and what failed and was measured later did
    not fail. Each row keeps its own command; floors and commands are lists, in the order of the runs."""
    if not documents:
        return None
    if len(documents) == 1:
        return documents[0]
    case = lambda row: (row["name"], row["precision"], row["members"], row["peer"])
    rows = {case(row): row for document in documents for row in document["rows"]}
    measured = {(row["peer"], f"{row['name']}.m{row['members']}.{row['precision']}") for row in rows.values()}
    failed = [one for document in documents for one in document["failed"] if (one["peer"], one["state"]) not in measured]
    versions = {peer: version for document in documents for peer, version in document["host"]["versions"].items()}
    return {
        "command": [document.get("command") for document in documents],
        "host": {**documents[0]["host"], "versions": versions},
        "floors": [document["floors"] for document in documents],
        "rows": list(rows.values()),
        "failed": failed,
        "skipped": [one for document in documents for one in document["skipped"]],
    }


def peers_part(document: dict | None) -> dict | None:
    if document is None:
        return None
    kept = {key: document.get(key) for key in ("command", "host", "floors", "rows", "failed", "skipped")}
    kept["command"] = kept["command"] or "run_peers.py"
    for row in kept["rows"]:
        row.setdefault("command", kept["command"])
    return kept


def of_gpu_check(folder: Path) -> dict:
    found = read(folder / "gpu_check.json")
    if found["dry_run"]:
        raise Refusal(f"{folder} holds a dry run")
    benchmarks = found["parts"].get("benchmarks", {})
    if not benchmarks.get("rows"):
        raise Refusal(f"{folder} holds no benchmarks")
    profile = found["parts"].get("profile", {})
    return {
        "format": FORMAT,
        "date": found["date"][:10],
        "commit": found["commit"],
        "version": found["version"],
        "device": found["device"],
        "host": found["host"],
        "rows": benchmarks["rows"],
        "peers": peers_part(benchmarks.get("peers")),
        "checks": {name: {key: part[key] for key in ("status", "summary", "seconds")} for name, part in found["parts"].items()},
        "kernels": profile.get("kernels", []),
    }


def of_cpu(program: Path, threads: int | None, peers: list[Path], benches: list[str]) -> dict:
    rows = []
    for more in benches or [""]:
        arguments = ["bench", "--device", "cpu", "--json", *(["--threads", str(threads)] if threads else []), *more.split()]
        try:
            done = subprocess.run([program, *arguments], check=True, text=True, stdout=subprocess.PIPE)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Refusal(str(error))
        measured = json.loads(done.stdout)
        host = measured["host"]
        for row in measured["rows"]:
            row["command"] = "manyfold " + " ".join(arguments)
        rows += measured["rows"]
    system = f"{platform.system()} {platform.release()}"
    release = Path("/etc/os-release")
    if release.exists():
        names = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release.read_text(), re.M))
        system = f"{names.get('PRETTY_NAME', '')}, {system}"
    return {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": host["commit"],
        "version": host["version"],
        "device": {"kind": "cpu", "name": host["name"], "threads": host["compute_units"], "instruction_set": host["instruction_set"]},
        "host": {"cpu": host["name"], "cores": os.cpu_count(), "os": system},
        "rows": rows,
        "peers": peers_part(merged([read(path) for path in peers])),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-check", type=Path, metavar="DIR")
    parser.add_argument("--device", choices=("cpu",), default="cpu")
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "bin" / "manyfold")
    parser.add_argument(
        "--peers", type=Path, metavar="JSON", nargs="+", default=[], help="of runs of run_peers.py on the same machine; later rows replace earlier ones"
    )
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--bench", action="append", default=[], metavar="OPTIONS", help="further options of manyfold bench, in one word; once for each run of it"
    )
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR")
    parser.add_argument("--uncommitted", action="store_true", help="take a program with uncommitted changes all the same")
    options = parser.parse_args()
    try:
        if options.gpu_check:
            document = of_gpu_check(options.gpu_check)
        else:
            document = of_cpu(options.program, options.threads, options.peers, options.bench)
        if document["commit"].endswith("+changes") and not options.uncommitted:
            raise Refusal(f"the program was built with uncommitted changes ({document['commit']}); --uncommitted takes it all the same")
    except Refusal as refusal:
        print(f"collect.py: {refusal}", file=sys.stderr)
        return 2
    path = options.out / f"{document['date']}-{slug(document['device']['name'])}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
