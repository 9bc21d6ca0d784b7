"""Nsight Compute on the kernels of a run: which unit binds each kernel and what share of it is reached, registers, spills,
occupancy. The report stays beside the results, for ncu-ui. Clocks are left as they are. Where Nsight Systems is at hand,
also the time in each named range."""

from __future__ import annotations

import csv
import io
import re
import subprocess

import profile_cost

SECTIONS = ("SpeedOfLight", "MemoryWorkloadAnalysis", "Occupancy", "LaunchStats")
# Instructions on local memory: of a kernel without local arrays these are spills.
LOCAL = "smsp__inst_executed_op_local_ld.sum,smsp__inst_executed_op_local_st.sum"
LAUNCHES = 160
LARGEST_REPORT = 16 * 2**20
# Name here -> beginnings of names of metrics, the first that is there counts.
UNITS = {
    "sm": ("sm__throughput.avg.pct",),
    "dram": ("gpu__dram_throughput.avg.pct", "dram__throughput.avg.pct"),
    "l2": ("lts__throughput.avg.pct",),
    "l1": ("l1tex__throughput.avg.pct",),
}
METRICS = {
    "registers": ("launch__registers_per_thread",),
    "occupancy_pct": ("sm__warps_active.avg.pct",),
    "occupancy_limit_pct": ("sm__maximum_warps_per_active_cycle_pct",),
    "waves": ("launch__waves_per_multiprocessor",),
    "shared_memory_per_block": ("launch__shared_mem_per_block ", "launch__shared_mem_per_block"),
    "local_loads": ("smsp__inst_executed_op_local_ld.sum",),
    "local_stores": ("smsp__inst_executed_op_local_st.sum",),
    "microseconds": ("gpu__time_duration.sum",),
}
MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1.0, "usecond": 1.0, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}


def short_name(kernel: str) -> str:
    """Without return type, arguments and what stands in template brackets beyond the first 60 characters."""
    name = re.sub(r"^void ", "", kernel.strip())
    depth = 0
    for at, character in enumerate(name):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0 and not name.startswith("(anonymous", at):
            name = name[:at]
            break
    name = name.replace("(anonymous namespace)::", "").replace("manyfold::", "").replace("kernels::", "")
    return name if len(name) <= 90 else name[:87] + "..."


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def read_csv(text: str) -> list[dict]:
    """Rows of `ncu --csv --page raw`: a head, a row of units, then one row a launch. What comes before the head is not it."""
    begin = text.find('"ID"')
    if begin < 0:
        return []
    rows = list(csv.reader(io.StringIO(text[begin:])))
    head, units = rows[0], rows[1]

    def column(beginnings):
        return next((at for start in beginnings for at, name in enumerate(head) if name.startswith(start)), None)

    wanted = {name: column(starts) for name, starts in {**UNITS, **METRICS}.items()}
    name_at, launches = head.index("Kernel Name"), []
    for row in rows[2:]:
        if len(row) != len(head):
            continue
        launch = {"kernel": short_name(row[name_at])}
        for key in ("Grid Size", "Block Size"):
            if key in head:
                launch[key.split()[0].lower()] = row[head.index(key)]
        for name, at in wanted.items():
            value = _number(row[at]) if at is not None else None
            if name == "microseconds" and value is not None:
                value *= MICROSECONDS.get(units[at], 1.0)
            launch[name] = value
        launches.append(launch)
    return launches


def by_kernel(launches: list[dict]) -> list[dict]:
    """One row a kernel and grid, the one that takes longest first; figures are those of its longest launch."""
    groups = {}
    for launch in launches:
        groups.setdefault((launch["kernel"], launch.get("grid"), launch.get("block")), []).append(launch)
    whole = sum(launch["microseconds"] or 0.0 for launch in launches) or 1.0
    rows = []
    for group in groups.values():
        row = dict(max(group, key=lambda launch: launch["microseconds"] or 0.0))
        shares = {unit: row.pop(unit) for unit in UNITS}
        known = {unit: share for unit, share in shares.items() if share is not None}
        row.update(launches=len(group), share_of_time=sum(launch["microseconds"] or 0.0 for launch in group) / whole, units_pct=shares)
        if known:
            row["binds"] = max(known, key=known.get)
            row["binding_pct"] = known[row["binds"]]
        spills = [row.pop("local_loads"), row.pop("local_stores")]
        row["local_memory_instructions"] = None if None in spills else sum(spills)
        rows.append(row)
    return sorted(rows, key=lambda row: -row["share_of_time"])


def describe(row: dict) -> str:
    bound = f"{row['binding_pct']:3.0f} % of {row['binds']}" if "binds" in row else "no throughput"
    registers = "?" if row["registers"] is None else f"{row['registers']:.0f}"
    local = row["local_memory_instructions"]
    occupancy = "?" if row["occupancy_pct"] is None else f"{row['occupancy_pct']:.0f} %"
    return (f"{row['share_of_time']:4.0%} of time  {bound}  {registers} registers"
            f"{'' if not local else f', {local:.0f} LOCAL-MEMORY INSTRUCTIONS'}, occupancy {occupancy}  {row['kernel']}")


def resource_usage(text: str) -> list[dict]:
    """Of `cuobjdump --dump-resource-usage`: registers and stack of each kernel as compiled."""
    pattern = re.compile(r"Function (\S+?):\s*\n?\s*REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
    return [{"kernel": name, "registers": int(r), "stack": int(s), "shared": int(m), "local": int(l)} for name, r, s, m, l in pattern.findall(text)]


def nsight_systems(session) -> dict | None:
    program = session.tool("nsys")
    if not program:
        return None
    report = session.scratch / "timeline"
    done = session.run([program, "profile", "--trace=cuda,nvtx", "--force-overwrite=true", f"--output={report}", *command_of(session)], 0.5 * session.left())
    if not done.ok:
        return {"wrong": done.why()}
    done = session.run([program, "stats", "--report=nvtx_pushpop_sum", "--format=csv", f"{report}.nsys-rep"])
    begin = done.output.find("Time (%)")
    if not done.ok or begin < 0:
        return {"wrong": done.why()}
    return {"ranges": list(csv.DictReader(io.StringIO(done.output[begin:])))[:40]}


def command_of(session):
    steps = ["--set", 'sweep."seed"={range=[0,2]}'] if session.dry_run else []
    return [session.build.program, "run", session.root / "apps" / "gpu_check" / "experiments" / "profile.toml", "--device", session.device,
            "--out", session.scratch / "profiled", "--overwrite", "--quiet", *steps]


def cost_of_flag(session) -> dict:
    """Runs with and without `--profile` in turns."""
    small = ["--set", 'sweep."seed"={range=[0,1]}', "--set", "stop.steps=5"] if session.dry_run else ["--set", "stop.steps=2000"]
    command = [session.build.program, "run", session.root / "apps" / "gpu_check" / "experiments" / "completion.toml", "--device", session.device, *small]
    return profile_cost.measure(command, 2 if session.dry_run else 6, environment=session.environment(ours=True), limit=max(1.0, session.left() / 4))


def run(session):
    program = session.tool("ncu")
    if not program:
        return {"status": "skipped", "summary": "ncu is not on the PATH nor in a toolkit's bin folder"}
    report = session.out / "profile.ncu-rep"
    result = {"lines": []}
    for metrics in ([LOCAL], []):  # a metric that this ncu does not know must not cost the rest
        report.unlink(missing_ok=True)
        sections = [word for section in SECTIONS for word in ("--section", section)]
        extra = [word for metric in metrics for word in ("--metrics", metric)]
        done = session.run([program, "--clock-control", "none", "--launch-count", str(LAUNCHES), *sections, *extra, "--force-overwrite",
                            "--export", report.with_suffix(""), *command_of(session)], 0.8 * session.left())
        result["command"] = done.command
        if report.exists() or done.code is None:
            break
    if not report.exists():
        denied = "ERR_NVGPUCTRPERM" in done.output
        return {**result, "status": "skipped" if denied else "failed",
                "summary": "this user may not read the GPU's counters (ERR_NVGPUCTRPERM)" if denied else f"ncu left no report: {done.why()}"}
    listing = session.run([program, "--import", report, "--csv", "--page", "raw"])
    launches = read_csv(listing.output)
    kernels = by_kernel(launches)
    if report.stat().st_size > LARGEST_REPORT:
        report.unlink()
        result["lines"].append(f"the report was above {LARGEST_REPORT >> 20} MiB and is not kept")
    result.update(launches=len(launches), kernels=kernels)
    result["lines"] += [describe(row) for row in kernels[:12]]
    objects = session.tool("cuobjdump")
    if objects and session.left() > 0 and session.build.cuda_library.exists():
        result["compiled"] = resource_usage(session.run([objects, "--dump-resource-usage", session.build.cuda_library], 20).output)
    if session.left() > 20 or session.dry_run:
        try:
            result["profile_flag"] = cost_of_flag(session)
            result["lines"].append(f"run --profile takes {result['profile_flag']['ratio']:.3f} of the time without it")
        except subprocess.SubprocessError as error:
            result["lines"].append(f"the cost of run --profile was not measured: {type(error).__name__}")
    if session.left() > 10:
        timeline = nsight_systems(session)
        if timeline:
            result["timeline"] = timeline
    if not kernels:
        return {**result, "status": "failed", "summary": f"no kernel in ncu's report: {listing.why()}"}
    spilling = [row for row in kernels if row["local_memory_instructions"]]
    result["status"] = "passed"
    top = kernels[0]
    result["summary"] = (f"{len(launches)} launches of {len(kernels)} kernels; the longest, {top['kernel'][:40]}, reaches "
                         f"{top.get('binding_pct', float('nan')):.0f} % of {top.get('binds', '?')}; {len(spilling)} use local memory")
    return result
