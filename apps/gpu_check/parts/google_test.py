"""Runs a test program of ours on one device and counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from session import Finished, Session


@dataclass
class Counts:
    passed: int = 0
    skipped: dict = field(default_factory=dict)  # name -> reason
    failed: dict = field(default_factory=dict)  # name -> first message

    @property
    def text(self) -> str:
        return f"{self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"


def count(document: dict) -> Counts:
    """Of googletest's JSON output. Tests that did not run because the filter left them out do not count."""
    counts = Counts()
    for suite in document.get("testsuites", []):
        for test in suite.get("testsuite", []):
            if test.get("status") != "RUN":
                continue
            name = f"{suite['name']}.{test['name']}"
            if test.get("failures"):
                counts.failed[name] = test["failures"][0].get("failure", "").strip()[:500]
            elif test.get("result") == "SKIPPED":
                counts.skipped[name] = " ".join(one.get("message", "") for one in test.get("skipped", [])).strip()[:300]
            else:
                counts.passed += 1
    return counts


def run(session: Session, room: str, filters: str, seconds: float | None = None, environment: dict | None = None, before=()) -> tuple[Finished, Counts | None]:
    """`before`: words in front of the command. The counts are None when the program left no report."""
    report = session.scratch / f"{room}_tests.json"
    report.unlink(missing_ok=True)
    command = [*before, session.build.tests(room), f"--gtest_filter={filters}", f"--gtest_output=json:{report}", "--gtest_brief=1"]
    done = session.run(command, seconds, environment=environment)
    try:
        return done, count(json.loads(report.read_text()))
    except (OSError, ValueError):
        return done, None


def verdict(done: Finished, counts: Counts | None) -> str | None:
    """What is wrong with a run, or None. A run of which every test was skipped proves nothing."""
    if counts is None:
        return f"the tests did not end: {done.why()}"
    if counts.failed:
        name, message = next(iter(counts.failed.items()))
        return f"{len(counts.failed)} failed, the first {name}: {' '.join(message.split())[:160]}"
    if not counts.passed:
        reason = next(iter(counts.skipped.values()), "the filter matched none")
        return f"no test ran: {reason}"
    return None if done.ok else f"all tests passed, but then: {done.why()}"
