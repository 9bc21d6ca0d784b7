"""Kernel tests on the device: every operation against an independent derivation on the CPU, outputs poisoned before. Again
and again with fresh inputs, as long as half of the time lasts."""

from __future__ import annotations

import secrets

from . import google_test

MOST_PASSES = 8


def run(session):
    filters = f"*/{session.device}"
    # Sizes: tests that can fill the chip do so when they are asked to.
    sizes = {} if session.dry_run else {"MANYFOLD_TEST_SIZES": "full"}
    if session.dry_run:
        filters = "SumOfSquares*/emulated:*/SumOfSquares*/emulated:*/Combine*/emulated:*/Watch*/emulated"
    begin, passes, wrong, counts = session.left(), [], None, None
    while len(passes) < (1 if session.dry_run else MOST_PASSES):
        seed = str(secrets.randbits(32))
        done, counts = google_test.run(session, "kernels", filters, environment={"MANYFOLD_TEST_SEED": seed, **sizes})
        wrong = google_test.verdict(done, counts)
        passes.append({"seed": seed, "seconds": round(done.seconds, 2), "command": done.command, "wrong": wrong,
                       **({"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped} if counts else {})})
        if wrong or session.left() < 0.5 * begin + done.seconds:
            break
    if wrong:
        return {"status": "failed", "summary": f"{wrong} (seed {passes[-1]['seed']})", "passes": passes}
    summary = f"{counts.text}; {len(passes)} pass{'' if len(passes) == 1 else 'es'} of fresh inputs"
    return {"status": "passed", "summary": summary, "passes": passes}
