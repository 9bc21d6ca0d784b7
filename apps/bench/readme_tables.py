#!/usr/bin/env python3
"""Writes the tables of measured speed in README.md from the newest results of each device (apps/bench/results).

    apps/bench/readme_tables.py             rewrites what stands between the markers
    apps/bench/readme_tables.py --check     exit code 1 when README.md is out of date

The markers: <!-- speed-table --> ... <!-- /speed-table --> for our own rows, <!-- peers-table --> ... <!-- /peers-table -->
for the peers'. A table without results is empty; a README without a table's markers goes without it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARES = ("share_of_flop_floor", "share_of_byte_floor")
RESULTS = re.compile(r"\d{4}-\d\d-\d\d-.+\.json")


def newest(folder: Path) -> list[dict]:
    """One document per device, CPUs first; names begin with the date, so the last of a device is its newest."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if not RESULTS.fullmatch(path.name):
            continue
        document = json.loads(path.read_text())
        document["file"] = path.name
        found[document["device"]["kind"], document["device"]["name"]] = document
    return [found[key] for key in sorted(found, key=lambda key: (key[0] != "cpu", key[1]))]


def number(value: float) -> str:
    """Three significant digits, in words that a table can align: 204, 51,000, 1.31 million."""
    if value >= 1e9:
        return f"{value / 1e9:.3g} billion"
    if value >= 1e6:
        return f"{value / 1e6:.3g} million"
    if value >= 1000:
        digits = 10 ** (len(str(int(value))) - 3)
        return f"{int(round(value / digits) * digits):,}"
    return f"{value:.3g}"


def times(ratio: float) -> str:
    """Two significant digits, but no powers of ten: 0.94, 3.1, 310."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"


def title(document: dict) -> str:
    device = document["device"]
    about = f", {device['threads']} threads, {device['instruction_set']}" if device["kind"] == "cpu" else f", driver {device['driver']}"
    return f"{device['name']}{about}: {document['date']}, commit {document['commit']}, `apps/bench/results/{document['file']}`"


def commands(rows) -> list[str]:
    return [f"`{command}`" for command in dict.fromkeys(row["command"] for row in rows)]


def speed_table(documents: list[dict]) -> list[str]:
    lines = []
    for document in documents:
        rows = document["rows"]
        if not rows:
            continue
        lines += [f"**{title(document)}**", "", "| row | precision | members | rate | share of the measured peak |", "|---|---|---:|---:|---|"]
        for row in rows:
            share = f"{100 * row['share_of_peak']:.0f} % of {row['peak']:.3g} {row['peak_unit']}" if row.get("peak") else ""
            lines.append(f"| {row['name']} | {row['precision']} | {row['members']:,} | {number(row['value'])} {row['unit']} | {share} |")
        lines += ["", "Made by " + ", ".join(commands(rows)) + ".", ""]
    return lines


def peers_table(documents: list[dict]) -> list[str]:
    lines = []
    for document in documents:
        if not document.get("peers") or not document["peers"]["rows"]:
            continue
        rows = document["peers"]["rows"]
        peers = list(dict.fromkeys(row["peer"] for row in rows))
        versions = {row["peer"]: row.get("version", "") for row in rows}
        ours = {(row["name"], row["precision"], row["members"]): row["value"] for row in document["rows"]}
        cases, floors = {}, {}
        for row in rows:
            case = (row["name"], row["precision"], row["members"], row["unit"])
            cases.setdefault(case, {})[row["peer"]] = row["value"]
            floors.setdefault(case, [row["value"] / row[share] if row.get(share) else None for share in SHARES])
        compared = any(case[:3] in ours for case in cases)
        head = ["workload", "precision", "members", "unit", "floor: operations", "floor: bytes", *(["manyfold"] if compared else []), *peers]
        lines += [f"**{title(document)}**", "", f"| {' | '.join(head)} |", "|---|---|---:|---|" + "---:|" * (len(head) - 4)]
        for (name, precision, members, unit), values in cases.items():
            own = ours.get((name, precision, members))
            cells = [name, precision, f"{members:,}", unit, *(number(floor) if floor else "" for floor in floors[name, precision, members, unit])]
            if compared:
                cells.append(number(own) if own else "")
            for peer in peers:
                value = values.get(peer)
                ratio = f" ({times(own / value)}x)" if own and value else ""
                cells.append(number(value) + ratio if value else "")
            lines.append(f"| {' | '.join(cells)} |")
        named = ", ".join(f"{peer} {versions[peer].removeprefix(peer).strip()}".strip() for peer in peers)
        floors_are = "The floors: operations and bytes of a unit at the machine's measured rates (kernels/README.md)."
        ratios_are = " In brackets: our rate over theirs." if compared else ""
        lines += ["", f"{named}. {floors_are}{ratios_are}", "", "Made by " + ", ".join(commands(rows)) + ".", ""]
    return lines


def rewrite(text: str, name: str, lines: list[str]) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if begin not in text:
        return text
    before, rest = text.split(begin, 1)
    if end not in rest:
        raise ValueError(f"{begin} has no {end} behind it")
    body = "\n".join(["", *lines]).rstrip("\n") + "\n" if lines else "\n"
    return before + begin + body + end + rest.split(end, 1)[1]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", type=Path, default=HERE.parents[1] / "README.md")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args(arguments)
    documents = newest(options.results)
    old = options.readme.read_text()
    try:
        new = rewrite(rewrite(old, "speed-table", speed_table(documents)), "peers-table", peers_table(documents))
    except ValueError as error:
        print(f"readme_tables.py: {options.readme}: {error}", file=sys.stderr)
        return 2
    if new == old:
        return 0
    if options.check:
        print(f"{options.readme} is out of date: run apps/bench/readme_tables.py", file=sys.stderr)
        return 1
    options.readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
