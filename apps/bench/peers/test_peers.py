"""Tests of the peers' own ground: that the problems, their references and the exchange are right, with NumPy alone; and
that each framework present here computes the reference's result (a missing one is skipped, with the reason).

    python -m pytest apps/bench/peers        or        python apps/bench/peers/test_peers.py
"""

import json
import subprocess
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402
import implementations  # noqa: E402
import state as exchange  # noqa: E402
import workloads  # noqa: E402
from workloads import cnn, factorization, fully_connected, svd, tangent_kernel, teacher_table, two_layer_relu  # noqa: E402

TINY = {
    "factorization": (6, {}, 20),
    "entries_sgd": (6, {"width": 12}, 20),
    "teacher_table": (72, {"per_cell": 2, "max_steps": 60}, 1),
    # 29 because a grid with x_0 = 10/3 would hold starts at a minimum, where rounding alone decides.
    "scalar_map": (841, {"side": 29, "max_steps": 200, "reference_stride": 1}, 1),
    "two_layer_relu": (1, {"points": 20, "inputs": 15, "width": 40}, 5),
    "fully_connected": (3, {"sizes": [7, 6, 5, 2], "points": 12}, 10),
    "cnn": (3, {"points": 4}, 3),
    "svd": (30, {"size": 9}, 1),
    "least_eigenvalue": (3, {"size": 30}, 1),
    "pattern_gram": (1, {"points": 20, "width": 90}, 1),
    "tangent_kernel": (1, {"points": 10, "inputs": 8, "width": 16}, 1),
}


def tiny_cases():
    for case in workloads.all_cases("quick"):
        members, parameters, chunk = TINY[case.kind]
        yield replace(case, members=members, parameters={**case.parameters, **parameters}, chunk=chunk)


def central_difference(function, x, width=1e-6):
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + width
        above = function(x)
        x[index] = kept - width
        below = function(x)
        x[index] = kept
        gradient[index] = (above - below) / (2 * width)
    return gradient


class Generators(unittest.TestCase):
    def test_a_draw_depends_on_the_case_alone(self):
        for case in tiny_cases():
            first, second = (workloads.module(case.kind).generate(case) for _ in range(2))
            self.assertEqual(set(first), set(second), case.key)
            for name in first:
                np.testing.assert_array_equal(first[name], second[name], err_msg=f"{case.key} {name}")

    def test_weights_have_members_first_and_the_precision_of_the_case(self):
        for case in tiny_cases():
            for name, array in workloads.module(case.kind).generate(case).items():
                if name.startswith("W_"):
                    self.assertEqual(
                        (array.ndim, len(array), array.dtype), (3, case.members, case.dtype), f"{case.key} {name}"
                    )

    def test_precisions_share_their_problem(self):
        for precision in ("f32", "f64"):
            case = next(c for c in tiny_cases() if c.name == "tiny-fc" and c.precision == precision)
            arrays = workloads.module(case.kind).generate(case)
            if precision == "f32":
                single = arrays
        for name in single:
            np.testing.assert_array_equal(single[name], arrays[name].astype(np.float32))

    def test_every_name_occurs_once_per_size_and_precision(self):
        for scale in ("quick", "full"):
            keys = [case.key for case in workloads.all_cases(scale)]
            self.assertEqual(len(keys), len(set(keys)))

    def test_factorizations_start_with_the_norm_asked_for(self):
        case = next(c for c in tiny_cases() if c.name == "greedy-3-rms-full" and c.precision == "f64")
        arrays = factorization.generate(case)
        end_to_end = arrays["W_3"] @ arrays["W_2"] @ arrays["W_1"]
        np.testing.assert_allclose(np.linalg.norm(end_to_end, axis=(1, 2)), case["end_norm"], rtol=1e-12)
        np.testing.assert_allclose(end_to_end, end_to_end.transpose(0, 2, 1), atol=1e-16)

    def test_teachers_have_unit_norm_and_the_ratio_asked_for(self):
        for k in teacher_table.PATCHES:
            for ratio in teacher_table.RATIOS:
                a_star = teacher_table.teacher(k, ratio)
                self.assertAlmostEqual(a_star @ a_star, 1, places=12)
                self.assertAlmostEqual(a_star.sum() ** 2, ratio, places=10)


class Gradients(unittest.TestCase):
    """Analytic gradients against central differences: error of order width^2 and eps/width, about 1e-9 of the loss."""

    def agree(self, analytic, numeric):
        scale = np.max(np.abs(numeric)) or 1.0
        self.assertLess(np.max(np.abs(analytic - numeric)) / scale, 1e-6)

    def test_factorization(self):
        rng = np.random.default_rng(0)
        for depth in (2, 3, 4):
            weights = [rng.standard_normal((1, 4, 4)) for _ in range(depth)]
            target = rng.standard_normal((4, 4))
            for mask in (None, (rng.random((4, 4)) < 0.5).astype(float)):
                analytic = factorization.gradients(weights, target, mask)
                for layer in range(depth):
                    numeric = central_difference(lambda _: factorization.loss(weights, target, mask)[0], weights[layer])
                    self.agree(analytic[layer], numeric)

    def test_fully_connected(self):
        rng = np.random.default_rng(1)
        weights = [rng.standard_normal((1, 5, 4)), rng.standard_normal((1, 3, 5)), rng.standard_normal((1, 2, 3))]
        x, y = rng.standard_normal((6, 4)), rng.standard_normal((6, 2))
        for layer, analytic in enumerate(fully_connected.gradients(weights, x, y)):
            numeric = central_difference(lambda _: fully_connected.loss(weights, x, y)[0], weights[layer])
            self.agree(analytic, numeric)

    def test_two_layer_relu(self):
        rng = np.random.default_rng(2)
        w, a = rng.standard_normal((7, 4)), rng.choice([-1.0, 1.0], 7)
        x, y = rng.standard_normal((5, 4)), rng.standard_normal(5)

        def loss(w):
            return 0.5 * np.sum((two_layer_relu.outputs_and_gradient(w, a, x, y)[0] - y) ** 2)

        self.agree(two_layer_relu.outputs_and_gradient(w, a, x, y)[1], central_difference(loss, w))

    def test_cnn(self):
        rng = np.random.default_rng(3)
        weights = [0.3 * rng.standard_normal(shape) for shape in cnn.shapes()]
        images, labels = rng.random((2, 28, 28)), np.eye(10)[[3, 7]]
        analytic = cnn.loss_and_gradients(weights, images, labels)[1]
        for layer in (0, 1, 2):
            weight = weights[layer]
            for index in [(0, 0), (1, 4), (weight.shape[0] - 1, weight.shape[1] - 1)]:
                kept, width, values = weight[index], 1e-6, []
                for sign in (1, -1):
                    weight[index] = kept + sign * width
                    values.append(cnn.loss_and_gradients(weights, images, labels)[0])
                weight[index] = kept
                numeric = (values[0] - values[1]) / (2 * width)
                self.assertAlmostEqual(analytic[layer][index], numeric, delta=1e-6 * max(1, abs(numeric)))

    def test_patches_and_their_transpose(self):
        """<patches(x), y> = <x, scatter(y)>, and a patch is what the definition of the layer says."""
        rng = np.random.default_rng(4)
        x, y = rng.standard_normal((2, 3, 14, 14)), rng.standard_normal((2, 27, 49))
        columns = cnn.patches(x)
        self.assertAlmostEqual(np.sum(columns * y), np.sum(x * cnn.scatter_patches(y, 3, 14)), places=9)
        channel, u, v, row, column = 2, 0, 2, 3, 5
        self.assertEqual(
            columns[1, channel * 9 + u * 3 + v, row * 7 + column], x[1, channel, 2 * row + u - 1, 2 * column + v - 1]
        )

    def test_teacher(self):
        rng = np.random.default_rng(5)
        v, a, w_star = rng.standard_normal(6), rng.standard_normal(9), rng.standard_normal(6)
        w_star /= np.linalg.norm(w_star)
        a_star = rng.standard_normal(9)
        dv, da = teacher_table.gradients(v[None], a[None], w_star, a_star)
        self.agree(dv[0], central_difference(lambda v: teacher_table.population_loss(v, a, w_star, a_star), v))
        self.agree(da[0], central_difference(lambda a: teacher_table.population_loss(v, a, w_star, a_star), a))
        self.assertAlmostEqual(teacher_table.population_loss(2.5 * w_star, a_star, w_star, a_star), 0, places=12)

    def test_both_ends_of_the_teacher_are_stationary(self):
        w_star, a_star = np.eye(6)[0], teacher_table.teacher(25, 4)
        for v, a in ((w_star, a_star), (-w_star, teacher_table.spurious_end(a_star))):
            dv, da = teacher_table.gradients(v[None], a[None], w_star, a_star)
            self.assertLess(max(np.max(np.abs(dv)), np.max(np.abs(da))), 1e-12)

    def test_entries_sgd(self):
        """One step of the reference is decay and the gradient of the drawn entry's squared error."""
        case = next(c for c in tiny_cases() if c.kind == "entries_sgd" and c.precision == "f64")
        case = replace(case, chunk=1, members=1)
        arrays = workloads.module(case.kind).generate(case)
        weights = [arrays[f"W_{layer}"][0].copy() for layer in (1, 2, 3)]
        entry = arrays["indices"][0, 0]
        i, j = case["entries"][entry]

        def error2(_):
            return (case["values"][entry] - (weights[2] @ weights[1] @ weights[0])[i, j]) ** 2

        after = workloads.module(case.kind).reference(case, arrays)
        for layer, weight in enumerate(weights, start=1):
            gradient = central_difference(error2, weight)
            expected = (1 - case["learning_rate"] * case["weight_decay"]) * weight - case["learning_rate"] * gradient
            np.testing.assert_allclose(after[f"W_{layer}"][0], expected, atol=1e-9)

    def test_rms_scale_of_the_first_step(self):
        """At t = 0 the corrected v is the squared norm of the gradient itself."""
        case = next(c for c in tiny_cases() if c.name == "greedy-3-rms-masked" and c.precision == "f64")
        case = replace(case, chunk=1)
        arrays = factorization.generate(case)
        weights = [arrays[f"W_{layer}"] for layer in (1, 2, 3)]
        steps = factorization.gradients(weights, arrays["target"], arrays["mask"])
        norm = np.sqrt(sum(np.sum(g**2, axis=(1, 2)) for g in steps))
        after = factorization.reference(case, arrays)
        expected = weights[1] - (case["learning_rate"] / (norm + case["epsilon"]))[:, None, None] * steps[1]
        np.testing.assert_allclose(after["W_2"], expected, rtol=1e-12)

    def test_tangent_kernel(self):
        case = next(c for c in tiny_cases() if c.kind == "tangent_kernel" and c.precision == "f64")
        case = replace(case, parameters={**case.parameters, "points": 3, "inputs": 4, "width": 5, "depth": 2})
        arrays = tangent_kernel.generate(case)
        weights = [arrays[f"W_{layer}"][0] for layer in (1, 2, 3)]
        jacobian = [
            np.concatenate(
                [central_difference(lambda _: tangent_kernel.outputs(weights, x)[0], w).ravel() for w in weights]
            )
            for x in arrays["inputs"]
        ]
        numeric = np.array([[a @ b for b in jacobian] for a in jacobian])
        self.agree(tangent_kernel.kernel(weights, arrays["inputs"]), numeric)


class Exchange(unittest.TestCase):
    def test_round_trip(self):
        for case in tiny_cases():
            drawn = workloads.draw(case)
            with tempfile.TemporaryDirectory() as directory:
                exchange.save(directory, drawn)
                read = exchange.load(directory)
            self.assertEqual(read.case, case)
            self.assertEqual(read.after_by, drawn.after_by)
            for ours, theirs in ((drawn.arrays, read.arrays), (drawn.after, read.after)):
                self.assertEqual(set(ours), set(theirs))
                for name in ours:
                    self.assertEqual(ours[name].dtype, theirs[name].dtype)
                    np.testing.assert_array_equal(ours[name], theirs[name])

    def test_transposed_arrays_are_written_in_c_order(self):
        case = next(tiny_cases())
        matrix = np.arange(6.0).reshape(2, 3).T
        with tempfile.TemporaryDirectory() as directory:
            exchange.save(directory, exchange.State(case, {"target": matrix}))
            self.assertIn(b"'fortran_order': False", (Path(directory) / "target.npy").read_bytes()[:128])
            np.testing.assert_array_equal(exchange.load(directory).arrays["target"], matrix)

    def test_bad_directories_are_named(self):
        case = next(tiny_cases())
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "workload.json"
            with self.assertRaisesRegex(FileNotFoundError, "no workload.json"):
                exchange.load(directory)
            path.write_text("{")
            with self.assertRaisesRegex(ValueError, "not JSON"):
                exchange.load(directory)
            path.write_text(json.dumps({"kind": "svd", "name": "x"}))
            with self.assertRaisesRegex(ValueError, "no members, precision, parameters"):
                exchange.load(directory)
            exchange.save(directory, exchange.State(case, {}, {"W_1": np.zeros(1)}))
            described = json.loads(path.read_text())
            path.write_text(json.dumps({**described, "after_steps": case.chunk + 1}))
            with self.assertRaisesRegex(ValueError, "must be equal"):
                exchange.load(directory)
            path.write_text(json.dumps({**described, "precision": "f16"}))
            with self.assertRaisesRegex(ValueError, "expected one of f32, f64"):
                exchange.load(directory)


class Comparisons(unittest.TestCase):
    def setUp(self):
        case = next(c for c in tiny_cases() if c.name == "tiny-fc" and c.precision == "f64")
        self.state = workloads.draw(case)

    def test_the_reference_agrees_with_itself(self):
        comparison = workloads.compare(self.state, self.state.after)
        self.assertTrue(comparison.agrees)
        self.assertEqual(comparison.max_relative_difference, 0)

    def test_what_is_missing_misshapen_or_not_a_number_disagrees(self):
        for spoil in (
            lambda r: r.pop("W_2"),
            lambda r: r.update(W_2=r["W_2"][:, :-1]),
            lambda r: r["W_2"].__setitem__((0, 0, 0), np.nan),
        ):
            result = {name: array.copy() for name, array in self.state.after.items()}
            spoil(result)
            self.assertFalse(workloads.compare(self.state, result).agrees)

    def test_a_start_that_never_moved_disagrees(self):
        result = {name: self.state.arrays[name] for name in self.state.after}
        self.assertFalse(workloads.compare(self.state, result).agrees)

    def test_singular_vectors_may_change_sign_but_not_values(self):
        case = next(c for c in tiny_cases() if c.name == "svd-vectors")
        drawn = workloads.draw(case)
        left, values, right = np.linalg.svd(drawn.arrays["matrices"])
        flipped = {"left": -left, "values": values, "right": -right}
        self.assertTrue(svd.compare(case, drawn.arrays, flipped, drawn.after).agrees)
        half = {"left": -left, "values": values, "right": right}
        self.assertFalse(svd.compare(case, drawn.arrays, half, drawn.after).agrees)


class Harness(unittest.TestCase):
    class Counting(harness.Runner):
        def __init__(self):
            self.calls = []

        def reset(self):
            self.calls.append("reset")

        def advance(self):
            self.calls.append("advance")

    def test_every_timed_call_starts_anew(self):
        runner = self.Counting()
        timing = harness.measure(runner, repeats=4, seconds=0, most_seconds=60)
        self.assertEqual(timing.repeats, 4)
        self.assertEqual(runner.calls, ["reset", "advance"] * 4)
        self.assertLessEqual(timing.lower_quartile_s, timing.median_s)
        self.assertLessEqual(timing.median_s, timing.upper_quartile_s)

    def test_a_slow_call_is_measured_once(self):
        self.assertEqual(harness.measure(self.Counting(), repeats=9, seconds=9, most_seconds=0).repeats, 1)

    def test_json_is_written_whole_or_not_at_all(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.json"
            harness.write_json(path, {"rows": [1]})
            with self.assertRaises(ValueError):
                harness.write_json(path, {"rows": [float("nan")]})
            self.assertEqual(json.loads(path.read_text()), {"rows": [1]})

    def test_names_select_by_whole_words(self):
        cases = workloads.all_cases("quick")
        names = {case.name for case in workloads.select(cases, ["greedy-3"], ["f64"])}
        self.assertEqual(names, {f"greedy-3-{o}-{m}" for o in ("gd", "rms") for m in ("full", "masked")})
        with self.assertRaisesRegex(ValueError, "no workload 'greed'"):
            workloads.select(cases, ["greed"], ["f64"])


class Peers(unittest.TestCase):
    def check(self, peer):
        try:
            module = implementations.module(peer)
        except ImportError as error:
            self.skipTest(f"{peer} is not installed here: {error}")
        kinds = set(implementations.KINDS.get(peer, workloads.KINDS))
        self.assertEqual(kinds, set(module.OFFERS))
        for case in tiny_cases():
            if case.kind not in kinds:
                continue
            drawn = workloads.draw(case)
            for variant, make in module.runners(drawn, "cpu", 1).items():
                if "torch.compile" in variant:
                    continue  # a minute of compilation: run_peers.py checks it before it times it
                with self.subTest(peer=peer, case=case.key, variant=variant):
                    runner = make()
                    for _ in range(2):  # the second time from a reset
                        runner.reset()
                        runner.advance()
                        comparison = workloads.compare(drawn, runner.result())
                        self.assertTrue(comparison.agrees, comparison)

    def test_numpy(self):
        self.check("numpy")

    def test_lapack(self):
        self.check("lapack")

    def test_jax(self):
        self.check("jax")

    def test_pytorch(self):
        self.check("pytorch")

    def test_torch_func(self):
        self.check("torch.func")

    def test_neural_tangents(self):
        self.check("neural-tangents")


class CommandLine(unittest.TestCase):
    KEYS = {
        "name",
        "device",
        "precision",
        "members",
        "value",
        "unit",
        "median_of",
        "peer",
        "version",
        "threads",
        "compile_s",
        "flops",
        "bytes",
        "checked",
        "max_relative_difference",
        "quartiles",
    }

    def run_peers(self, *arguments):
        command = [sys.executable, str(HERE / "run_peers.py"), "--venv", "none", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    def test_rows_of_drawn_and_of_given_states(self):
        with tempfile.TemporaryDirectory() as directory:
            states, path = Path(directory) / "states", Path(directory) / "rows.json"
            case = replace(
                next(c for c in tiny_cases() if c.name == "greedy-2-masked" and c.precision == "f64"), members=4
            )
            drawn = workloads.draw(case)
            drawn.after_by = "manyfold"
            exchange.save(states / case.key, drawn)
            quick = ("--peers", "numpy", "--repeats", "2", "--seconds", "0", "--threads", "1", "--json", str(path))
            for arguments, name in (
                (("--workloads", "pattern-gram"), "pattern-gram"),
                (("--state", str(states)), case.name),
            ):
                done = self.run_peers(*arguments, *quick)
                self.assertEqual(done.returncode, 0, done.stderr)
                document = json.loads(path.read_text())
                self.assertTrue(document["complete"])
                self.assertLessEqual({"cpu", "cores", "os", "threads", "versions"}, set(document["host"]))
                self.assertEqual([row["name"] for row in document["rows"]], [name])
                row = document["rows"][0]
                self.assertLessEqual(self.KEYS, set(row))
                self.assertTrue(row["checked"])
                self.assertGreater(row["value"], 0)
                self.assertLessEqual(row["quartiles"][0], row["value"])
                self.assertGreaterEqual(row["quartiles"][1], row["value"])
            self.assertEqual(row["checked_against"], "manyfold")

            # A result that is not what the peer computes is never timed.
            drawn.after["W_1"][:] += 1e-3
            exchange.save(states / case.key, drawn)
            done = self.run_peers("--state", str(states), *quick)
            self.assertEqual(done.returncode, 1)
            document = json.loads(path.read_text())
            self.assertEqual(document["rows"], [])
            self.assertIn("disagrees", json.dumps(document["failed"]))

    def test_absent_frameworks_are_said(self):
        try:
            implementations.module("neural-tangents")
            self.skipTest("neural-tangents is installed here")
        except ImportError:
            pass
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.json"
            done = self.run_peers(
                "--workloads", "tangent-kernel", "--peers", "neural-tangents", "--threads", "1", "--json", str(path)
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(path.read_text())["skipped"][0]["peer"], "neural-tangents")

    def test_bad_input_is_named(self):
        for arguments, message in (
            (("--workloads", "nonsense"), "no workload 'nonsense'"),
            (("--peers", "fortran"), "no peer 'fortran'"),
            (("--threads", "0"), "this machine offers"),
            (("--state", str(HERE / "workloads")), "no workload.json there"),
        ):
            done = self.run_peers(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)

    def test_a_worker_that_does_not_answer_is_ended(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.json"
            done = self.run_peers(
                "--workloads", "pattern-gram", "--peers", "numpy", "--timeout", "0.01", "--json", str(path)
            )
            self.assertEqual(done.returncode, 1, done.stderr)
            document = json.loads(path.read_text())
            self.assertTrue(document["complete"])
            self.assertEqual(document["failed"][-1]["state"], "pattern-gram.m1.f32")
            self.assertIn("no answer in", document["failed"][-1]["reason"])

    def test_an_empty_budget_keeps_a_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.json"
            done = self.run_peers(
                "--workloads", "pattern-gram", "--peers", "numpy", "--budget", "0", "--json", str(path)
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertFalse(json.loads(path.read_text())["complete"])


if __name__ == "__main__":
    unittest.main()
