"""compute-sanitizer over the kernel tests, one tool after another: out-of-bounds and misaligned accesses, races on shared
memory, barriers that not all threads reach, reads of memory that nothing wrote."""

from __future__ import annotations

import re

from . import google_test

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
SUMMARY = re.compile(r"^=+ ERROR SUMMARY: (\d+) errors?", re.M)
RACES = re.compile(r"^=+ RACECHECK SUMMARY: (\d+) hazards? displayed \((\d+) errors?, (\d+) warnings?\)", re.M)
REPORT = re.compile(r"^========= (?!COMPUTE-SANITIZER|ERROR SUMMARY|RACECHECK SUMMARY|LEAK SUMMARY|Target application|\s)(.+)$", re.M)


def read_output(text: str) -> dict:
    """Errors counted by the tool (None: it did not come to its summary) and what it reported first."""
    races, summary = RACES.search(text), SUMMARY.search(text)
    result = {"errors": None}
    if races:
        result.update(errors=int(races[2]), warnings=int(races[3]), hazards=int(races[1]))
    elif summary:
        result["errors"] = int(summary[1])
    lines = text.splitlines()
    reports = []
    for at, line in enumerate(lines):
        if len(reports) < 5 and REPORT.match(line):
            where = next((one.strip("= ").strip() for one in lines[at + 1 : at + 3] if re.match(r"=+\s+at ", one)), "")
            reports.append(f"{line.strip('= ').strip()} {where}".strip()[:300])
    if reports:
        result["reports"] = reports
    return result


def run(session):
    program = session.tool("compute-sanitizer")
    if not program:
        return {"status": "skipped", "summary": "compute-sanitizer is not on the PATH nor in a toolkit's bin folder"}
    filters = "*/SumOfSquares*/emulated:SumOfSquares*/emulated" if session.dry_run else f"*/{session.device}"
    result, problems, unfinished = {"tools": {}, "lines": []}, [], []
    for index, tool in enumerate(TOOLS):
        seconds = session.left() / (len(TOOLS) - index)
        before = [program, "--tool", tool, "--print-limit", "20"]
        done, counts = google_test.run(session, "kernels", filters, seconds, before=before)
        found = read_output(done.output)
        found.update(command=done.command, seconds=round(done.seconds, 1), tests=counts.text if counts else "did not end")
        result["tools"][tool] = found
        wrong = google_test.verdict(done, counts)
        if found["errors"]:
            problems.append(f"{tool}: {found['errors']} errors, the first: {found.get('reports', ['?'])[0]}"[:200])
        elif done.code is None:
            unfinished.append(tool)
        elif found["errors"] is None:
            problems.append(f"{tool}: no summary; {done.why()}")
        elif wrong:
            problems.append(f"{tool}: no error found by it, but {wrong}")
        result["lines"].append(f"{tool}: {'not done' if found['errors'] is None else found['errors']} errors"
                               + (f", {found['warnings']} warnings" if found.get("warnings") else "") + f"; {found['tests']}")
    result["unfinished"] = unfinished
    result["status"] = "failed" if problems else "skipped" if len(unfinished) == len(TOOLS) else "passed"
    clean = [tool for tool in TOOLS if result["tools"][tool]["errors"] == 0]
    result["summary"] = "; ".join(problems)[:300] if problems else f"no errors: {', '.join(clean) or 'none came to its end'}"
    if unfinished:
        result["summary"] += f"; out of time: {', '.join(unfinished)}"
    return result
