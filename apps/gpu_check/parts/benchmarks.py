"""`manyfold bench factorization` at several ensemble sizes and `bench resident`, the pauses between replays of graphs, then the peers (apps/bench/peers) on the same device in the same session, with
this Python's PyTorch and JAX. Every row keeps the command that made it."""

from __future__ import annotations

import json
import re
import sys

from session import write_json

MEMBERS = (256, 4096, 32768)
# What is measured first when time is short.
PEER_WORKLOADS = (
    "greedy-3-gd-full,svd-values,least-eigenvalue",
    "greedy-3-rms-masked,jumps-3,tiny-fc,cnn",
    "greedy-2,table,scalar-map,fc,two-layer,pattern-gram,svd-vectors,tangent-kernel",
)
CLOSING_SECONDS = 4.0  # the peers' script stops by itself before it would be stopped
LEAST_SECONDS = 30.0  # to start the frameworks and measure a row


def bench(session, *arguments):
    done = session.manyfold("bench", *arguments, "--device", session.device, "--json")
    if not done.ok:
        return [], f"{done.command}: {done.why()}"
    begin = done.output.find('{"host"')
    try:
        document = json.loads(done.output[begin:].splitlines()[0])
    except (ValueError, IndexError):
        return [], f"{done.command}: no JSON came"
    for row in document["rows"]:
        row["command"] = f"manyfold bench {' '.join(arguments)} --device {session.device} --json"
    return document["rows"], None


def gaps(session):
    """What `run --profile` says of the device's pauses between replays; or None and why not."""
    small = ["--set", 'sweep."seed"={range=[0,1]}', "--set", "stop.steps=60"] if session.dry_run else ["--set", "stop.steps=20000"]
    done = session.manyfold("run", session.root / "apps" / "gpu_check" / "experiments" / "completion.toml", "--device", session.device,
                            "--out", session.scratch / "gaps", "--overwrite", "--quiet", "--json", "--profile", *small)
    if not done.ok:
        return None, f"gaps between replays: {done.why()}"
    return read_gaps(done.output, done.command)


def read_gaps(output, command):
    try:
        found = json.loads(next(line for line in output.splitlines() if line.startswith("{")))["profile"]["gaps"]
    except (StopIteration, ValueError, KeyError):
        return None, "gaps between replays: no profile came"
    if not found or not found["measured"]:
        return None, "gaps between replays: none was measured"
    return {**found, "command": command}, None


def peers(session):
    """What run_peers.py wrote, of all its runs together; or None and why not."""
    script = session.root / "apps" / "bench" / "peers" / "run_peers.py"
    if not script.exists():
        return None, f"{script} is missing"
    out, whole, why_not = session.out / "peers.json", None, "no time was left"
    for workloads in PEER_WORKLOADS:
        seconds = session.left() - CLOSING_SECONDS
        if seconds < LEAST_SECONDS and not session.dry_run:
            break
        arguments = ["--device", "cuda", "--scale", "full", "--workloads", workloads, "--repeats", "5", "--seconds", "0.3",
                     "--case-seconds", "3", "--variant-seconds", "20", "--timeout", "120", "--budget", f"{max(1.0, seconds):.0f}"]
        document, why_not = run_peers(session, script, arguments, out)
        if document is None:
            break
        document["command"] = f"run_peers.py {' '.join(arguments)}"
        for row in document["rows"]:
            row["command"] = document["command"]
        if whole is None:
            whole = document
        else:
            for key in ("rows", "skipped", "failed"):
                whole[key] += document[key]
        whole["complete"] = document["complete"] and workloads == PEER_WORKLOADS[-1]
    if whole:
        write_json(out, whole)
    return whole, why_not


def run_peers(session, script, arguments, out):
    out.unlink(missing_ok=True)
    if session.dry_run:  # that the script takes these arguments is checked with the script, what comes back with a stand-in
        listed = session.run([sys.executable, script, *arguments, "--list"], ours=False, cwd=script.parent)
        if not listed.ok and "NumPy" not in listed.output:
            return None, f"run_peers.py --list: {listed.why()}"
        script = session.stand_ins / "run_peers.py"
    # The frameworks find CUDA's libraries by themselves: ours must not come before theirs.
    done = session.run([sys.executable, script, *arguments, "--json", out], ours=False, cwd=script.parent)
    try:
        return json.loads(out.read_text()), None
    except (OSError, ValueError):
        return None, f"run_peers.py: {done.why()}"


def share_of_product(rows, floors):
    """On a GPU the peak of our rows is the rate of a large product that the peers' run measured on the same device."""
    for row in rows:
        peak = floors.get(f"gemm_{row['precision']}")
        operations = re.search(r": (\d+)\s*$", row.get("formula", ""))
        row["peak"] = row["share_of_peak"] = 0.0
        if peak and operations:
            row["peak"], row["peak_unit"] = peak["value"] * 1e-9, f"GFLOP/s of a large product through {peak['measured_through']}"
            row["share_of_peak"] = row["value"] * int(operations[1]) / peak["value"]


def run(session):
    rows, problems = [], []
    quick = ["--seconds", "0.01", "--repeats", "1"] if session.dry_run else ["--seconds", "0.5"]
    sizes = (1,) if session.dry_run else MEMBERS
    wanted = [("factorization", "--members", str(members)) for members in sizes]
    wanted.append(("resident", "--members", "1", "--rows", "greedy-2-full") if session.dry_run else ("resident", "--scale", "full"))
    for arguments in wanted:
        more, problem = bench(session, *arguments, *quick)
        rows += more
        if problem:
            problems.append(problem)
    pauses, problem = gaps(session)
    if problem:
        problems.append(problem)
    document, why_not = peers(session)
    if document:
        share_of_product(rows, document["floors"])
    lines = [f"{row['name']} {row['precision']}, {row['members']} members: {row['value']:.4g} {row['unit']}"
             + (f", {row['share_of_peak']:.0%} of {row['peak']:.4g} {row['peak_unit']}" if row["peak"] else "") for row in rows]
    if pauses:
        lines.append(f"between replays {pauses['mean'] * 1e6:.2f} us, at most {pauses['largest'] * 1e6:.1f} us: {pauses['share']:.2%} of steps and probes "
                     f"({pauses['measured']} of {pauses['gaps']} gaps measured)")
    result = {"rows": rows, "lines": lines, "gaps": pauses}
    if document:
        result["peers"] = {key: document[key] for key in ("command", "host", "floors", "skipped", "failed", "complete") if key in document}
        result["peers"]["rows"] = document["rows"]
        about = f"{len(document['rows'])} rows of peers, {len(document['failed'])} failed"
        # A framework that fails is no fault of ours; a disagreement is somebody's, and must be seen.
        lines += [f"peer failed: {one.get('peer')} {one.get('name', one.get('state', ''))}: {str(one.get('reason'))[:120]}" for one in document["failed"][:5]]
        disagree = [one for one in document["failed"] if "disagrees" in str(one.get("reason"))]
        if disagree:
            problems.append(f"{len(disagree)} rows of peers disagree with the known result")
    else:
        about = f"no peers: {why_not}"
        result["peers_missing"] = why_not
        if session.dry_run:
            problems.append(about)
    checked = all(row["checked"] for row in rows)
    if rows and not checked:
        problems.append("a row was timed without having been checked")
    result["status"] = "failed" if problems or not rows else "passed"
    result["summary"] = ("; ".join(problems)[:300] + "; " if problems else "") + f"{len(rows)} rows of our own; {about}"
    return result
