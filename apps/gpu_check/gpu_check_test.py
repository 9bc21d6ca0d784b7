#!/usr/bin/env python3
"""Tests of the check's own parts that need neither a GPU nor a build: what tools print is read rightly, faults are seen, time is
kept, one part's failure is its own.    python3 apps/gpu_check/gpu_check_test.py"""

import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import gpu_check  # noqa: E402
import machine  # noqa: E402
import sample_log  # noqa: E402
from parts import PARTS, Part, agreement, benchmarks, google_test, profiling, sanitizer  # noqa: E402
from session import Build, OutOfTime, Session  # noqa: E402


def session_in(folder, seconds=30.0):
    folder = Path(folder)
    session = Session(folder, Build(folder), "emulated", folder, folder, time.monotonic() + seconds, HERE / "stand_ins")
    session.begin_part("test", seconds)
    return session


def stand_in(name, *words, **environment):
    return subprocess.run([str(HERE / "stand_ins" / name), *map(str, words)], text=True, capture_output=True, env={**os.environ, **environment}).stdout


class Sanitizer(unittest.TestCase):
    def test_counts_nothing_where_nothing_is(self):
        for tool in sanitizer.TOOLS:
            self.assertEqual(sanitizer.read_output(stand_in("compute-sanitizer", "--tool", tool, "true"))["errors"], 0, tool)

    def test_counts_and_names_faults(self):
        for tool in sanitizer.TOOLS:
            found = sanitizer.read_output(stand_in("compute-sanitizer", "--tool", tool, "true", STAND_IN_FAULT="yes"))
            self.assertEqual(found["errors"], 1, tool)
            self.assertIn("planted", found["reports"][0], tool)

    def test_a_tool_without_a_summary_counts_nothing(self):
        self.assertIsNone(sanitizer.read_output("========= COMPUTE-SANITIZER\n========= Error: Device not supported\n")["errors"])

    def test_many(self):
        self.assertEqual(sanitizer.read_output("========= ERROR SUMMARY: 1234 errors\n")["errors"], 1234)
        races = sanitizer.read_output("========= RACECHECK SUMMARY: 7 hazards displayed (5 errors, 2 warnings)\n")
        self.assertEqual((races["hazards"], races["errors"], races["warnings"]), (7, 5, 2))


class Gaps(unittest.TestCase):
    def test_are_read(self):
        line = '{"profile": {"gaps": {"replays": 9, "gaps": 8, "measured": 2, "mean": 2e-6, "largest": 3e-6, "seconds": 16e-6, "share": 0.1}}}'
        found, problem = benchmarks.read_gaps(f"manyfold: a warning\n{line}\n", "run")
        self.assertIsNone(problem)
        self.assertEqual((found["mean"], found["measured"], found["command"]), (2e-6, 2, "run"))

    def test_that_are_missing_are_a_problem(self):
        for output in ("", "{}", "{broken", '{"profile": {"gaps": null}}', '{"profile": {"gaps": {"measured": 0}}}'):
            found, problem = benchmarks.read_gaps(output, "run")
            self.assertIsNone(found, output)
            self.assertIn("gaps between replays", problem)


class Profile(unittest.TestCase):
    def launches(self):
        with tempfile.NamedTemporaryFile() as report:
            return profiling.read_csv(stand_in("ncu", "--import", report.name, "--csv", "--page", "raw"))

    def test_reads_launches(self):
        launches = self.launches()
        self.assertEqual(len(launches), 3)
        self.assertEqual(launches[0]["microseconds"], 1204.5)
        self.assertEqual(launches[0]["registers"], 64)
        self.assertEqual(launches[2]["local_loads"], 96)

    def test_names_what_binds(self):
        product, reduction = profiling.by_kernel(self.launches())
        self.assertEqual((product["binds"], product["binding_pct"], product["launches"]), ("sm", 71.4, 2))
        self.assertEqual((reduction["binds"], reduction["binding_pct"]), ("dram", 88.6))
        self.assertEqual((product["local_memory_instructions"], reduction["local_memory_instructions"]), (0, 144))
        self.assertAlmostEqual(product["share_of_time"] + reduction["share_of_time"], 1)

    def test_metrics_may_be_missing(self):
        launches = profiling.read_csv('"ID","Kernel Name","gpu__time_duration.sum"\n"","","ns"\n"0","k(int)","2,000"\n')
        self.assertEqual(launches[0]["microseconds"], 2.0)
        row = profiling.by_kernel(launches)[0]
        self.assertNotIn("binds", row)
        self.assertIn("no throughput", profiling.describe(row))

    def test_nothing_is_no_launch(self):
        self.assertEqual(profiling.read_csv("==ERROR== no kernels were profiled\n"), [])

    def test_compiled_resources(self):
        text = " Function _Z3sumPd:\n  REG:40 STACK:16 SHARED:1024 LOCAL:0 CONSTANT[0]:400 TEXTURE:0 SURFACE:0 SAMPLER:0\n"
        self.assertEqual(profiling.resource_usage(text), [{"kernel": "_Z3sumPd", "registers": 40, "stack": 16, "shared": 1024, "local": 0}])


def log_of(values, steps=(0, 1, 10)):
    layout = {"variables": [{"name": "train_loss", "cadence": 0}], "cadences": [{"steps": list(steps)}], "members": 2}
    return sample_log.Log(layout, {("train_loss", sample, 0): (value,) for sample, value in enumerate(values)}, {0: ("finished", 10, "steps")})


class Agreement(unittest.TestCase):
    def share(self, a, b, precision="f64"):
        return agreement.compare(log_of(a), log_of(b), 3, 20, precision)["train_loss"]["share_of_bound"]

    def test_equal_runs(self):
        self.assertEqual(self.share([1.0, 0.5, math.nan], [1.0, 0.5, math.nan]), 0)

    def test_rounding_is_allowed_and_more_is_not(self):
        self.assertLess(self.share([1.0, 0.5, 0.2], [1.0, 0.5 * (1 + 1e-15), 0.2]), 1)
        self.assertGreater(self.share([1.0, 0.5, 0.2], [1.0, 0.5 * (1 + 1e-12), 0.2]), 1)
        self.assertLess(self.share([1.0, 0.5, 0.2], [1.0, 0.5 * (1 + 1e-6), 0.2], "f32"), 1)

    def test_what_is_not_a_number_differs(self):
        self.assertEqual(self.share([1.0, 0.5, 0.2], [1.0, math.nan, 0.2]), math.inf)
        self.assertEqual(self.share([1.0, 0.5], [1.0, 0.5, 0.2]), math.inf)

    def test_bits(self):
        self.assertIsNone(agreement.same_bits(log_of([1.0, math.nan, 0.0]), log_of([1.0, math.nan, 0.0])))
        self.assertIn("train_loss", agreement.same_bits(log_of([1.0]), log_of([math.nextafter(1.0, 2.0)])))
        self.assertIn("train_loss", agreement.same_bits(log_of([0.0]), log_of([-0.0])))
        self.assertIsNotNone(agreement.same_bits(log_of([1.0]), log_of([1.0, 2.0])))


class SampleLog(unittest.TestCase):
    @staticmethod
    def block(kind, payload):
        head = struct.pack("=QI", len(payload), kind)
        return head + struct.pack("=I", zlib.crc32(payload, zlib.crc32(head))) + payload

    def whole(self):
        layout = json.dumps({"variables": [{"name": "loss", "cadence": 0}, {"name": "s", "cadence": 0}], "cadences": [{"steps": [0]}]})
        layout += " " * (-len(layout) % 8)
        return (b"MFLD-LOG" + struct.pack("=II", 1, 0x01020304) + self.block(1, layout.encode())
                + self.block(2, struct.pack("=iHHqqqdd", 0, 0, 1, 0, 2, 5, 1.5, 2.5))  # members 5 and 6
                + self.block(2, struct.pack("=iHHqqqqqdddd", 1, 1, 0, 0, 2, 2, 3, 8, 1.0, 2.0, 3.0, 4.0))  # members 3 and 8, two values
                + self.block(3, b'[[5,"finished",9,"steps"]]      '))

    def read(self, data):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return sample_log.read(file.name)

    def test_reads(self):
        log = self.read(self.whole())
        self.assertEqual(log.values, {("loss", 0, 5): (1.5,), ("loss", 0, 6): (2.5,), ("s", 0, 3): (1.0, 2.0), ("s", 0, 8): (3.0, 4.0)})
        self.assertEqual(log.ends, {5: ("finished", 9, "steps")})

    def test_refuses_damage(self):
        whole = self.whole()
        for data in (b"", b"no log at all, but long", whole[:-3], whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]):
            with self.assertRaises(ValueError):
                self.read(data)


class GoogleTest(unittest.TestCase):
    def test_counts(self):
        tests = [{"name": "A/cuda", "status": "RUN", "result": "COMPLETED"}, {"name": "A/cpu", "status": "NOTRUN", "result": "SUPPRESSED"},
                 {"name": "B/cuda", "status": "RUN", "result": "SKIPPED", "skipped": [{"message": "no device"}]},
                 {"name": "C/cuda", "status": "RUN", "result": "COMPLETED", "failures": [{"failure": "x.cpp:1\nExpected"}]}]
        counts = google_test.count({"testsuites": [{"name": "S", "testsuite": tests}]})
        self.assertEqual(counts.text, "1 passed, 1 failed, 1 skipped")
        self.assertEqual(counts.skipped, {"S.B/cuda": "no device"})

    def test_skips_alone_prove_nothing(self):
        done = mock.Mock(ok=True)
        self.assertIn("no test ran: no device", google_test.verdict(done, google_test.Counts(skipped={"S.B/cuda": "no device"})))
        self.assertIsNone(google_test.verdict(done, google_test.Counts(passed=3, skipped={"S.B/cuda": "no device"})))
        self.assertIn("did not end", google_test.verdict(mock.Mock(why=lambda: "SIGSEGV"), None))


class Processes(unittest.TestCase):
    def test_time_is_kept_and_children_end(self):
        with tempfile.TemporaryDirectory() as folder:
            session = session_in(folder)
            began = time.monotonic()
            done = session.run(["sh", "-c", "trap '' INT; echo begun; sleep 60 & wait; sleep 60"], 0.3)
            self.assertIsNone(done.code)
            self.assertIn("begun", done.output)
            self.assertLess(time.monotonic() - began, 10)
            session.end_part()

    def test_no_time_is_left(self):
        with tempfile.TemporaryDirectory() as folder:
            session = session_in(folder, 0.0)
            with self.assertRaises(OutOfTime):
                session.run(["true"])
            session.end_part()

    def test_how_a_command_ended(self):
        with tempfile.TemporaryDirectory() as folder:
            session = session_in(folder)
            self.assertEqual(session.run(["sh", "-c", "echo one; echo two; exit 3"]).why(), "exit code 3: two")
            self.assertEqual(session.run(["sh", "-c", "kill -SEGV $$"]).why(), "SIGSEGV")
            session.end_part()

    def test_a_part_that_breaks_is_one_that_failed(self):
        def broken(_session):
            raise ValueError("planted")

        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(PARTS, {"kernels": Part("", 0.5, broken)}), mock.patch("traceback.print_exc"):
            result = gpu_check.run_part("kernels", session_in(folder), 5.0)
        self.assertEqual((result["status"], result["summary"]), ("failed", "ValueError: planted"))


class Plumbing(unittest.TestCase):
    def test_shares(self):
        self.assertAlmostEqual(sum(part.share for part in PARTS.values()), 1)
        names = list(PARTS)
        self.assertAlmostEqual(gpu_check.allowed_seconds(100, names), 100 * PARTS[names[0]].share)
        self.assertAlmostEqual(gpu_check.allowed_seconds(100, names[-1:]), 100)

    def test_libraries_of_a_pip_installation_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "libmanyfold_cuda.so"
            library.write_bytes(b"\0libcudart.so.13\0libcublas.so.13\0libother.so.13\0")
            for name, file in (("cuda_runtime", "libcudart.so.13"), ("cublas", "libcublas.so.13"), ("cublas", "libother.so.13")):
                (Path(folder) / "nvidia" / name / "lib").mkdir(parents=True, exist_ok=True)
                (Path(folder) / "nvidia" / name / "lib" / file).touch()
            with mock.patch.object(machine, "cuda_homes", return_value=[]), mock.patch.object(sys, "path", [folder]), mock.patch.dict(os.environ, {"LD_LIBRARY_PATH": ""}):
                found = machine.library_folders(library)
            self.assertEqual([path.parent.name for path in found], ["cublas", "cuda_runtime"])

    def test_share_of_a_product(self):
        rows = [{"precision": "f64", "value": 1e6, "formula": "6 products, n = 20: 97200"}, {"precision": "tf32", "value": 1e6, "formula": "97200"}]
        benchmarks.share_of_product(rows, {"gemm_f64": {"value": 5e13, "measured_through": "x"}})
        self.assertAlmostEqual(rows[0]["share_of_peak"], 97200e6 / 5e13)
        self.assertEqual(rows[1]["share_of_peak"], 0)

    @unittest.skipIf(machine.gpu(), "there is a GPU here")
    def test_without_a_gpu(self):
        for arguments in ([], ["--probe"]):
            with mock.patch("sys.stdout"), mock.patch("sys.stderr"):
                self.assertEqual(gpu_check.main(arguments), 3)

    def test_bad_arguments(self):
        for arguments in (["--parts", "nothing"], ["--budget", "0"], ["--budget", "nan"]):
            with self.assertRaises(SystemExit) as end, mock.patch("sys.stderr"):
                gpu_check.main(arguments)
            self.assertEqual(end.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
