// `bench resident` and `bench spectra`: rows, shares, and the peers through a script that stands in
// for theirs.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

Arguments resident(const Arguments& more) {
  Arguments words{"bench", "resident", "--json", "--seconds", "0.02", "--repeats",
                  "1",     "--device", "cpu",    "--threads", "1"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Operations of a member-step, by the formulas of apps/bench/peers/workloads.
double operations_of(const std::string& row) {
  const double n2 = 400;
  const double n3 = 8000;
  if (row == "greedy-2-full") return 6 * n3 + 5 * n2;
  if (row == "greedy-2-masked") return 6 * n3 + 6 * n2;
  if (row == "greedy-3-gd-full") return 12 * n3 + 7 * n2;
  if (row == "greedy-3-rms-full") return 12 * n3 + 13 * n2;
  if (row == "jumps-3") return 71200;
  return 6 * 512 + 5 * 64;
}

TEST(BenchResident, RowsAreCheckedAndComplete) {
  const Scratch scratch;
  const Outcome outcome = run_program(
      scratch.path(),
      resident({"--members", "16", "--rows",
                "greedy-2-full,greedy-2-masked,greedy-3-gd-full,greedy-3-rms-full,jumps-3,mixed"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const nlohmann::json rows = outcome.json().at("rows");
  std::set<std::string> found;
  for (const nlohmann::json& row : rows) {
    const std::string name = row.at("name");
    SCOPED_TRACE(name);
    EXPECT_TRUE(found.insert(name + " " + row.at("precision").get<std::string>()).second);
    EXPECT_EQ(row.at("device"), "cpu");
    EXPECT_EQ(row.at("members"), 16);
    EXPECT_EQ(row.at("unit"), "member-steps/s");
    EXPECT_EQ(row.at("median_of"), 1);
    EXPECT_EQ(row.at("checked"), true);
    EXPECT_EQ(row.at("path"), "resident");
    EXPECT_TRUE(row.at("peers").empty());
    EXPECT_FALSE(row.at("formula").get<std::string>().empty());
    const double value = row.at("value");
    EXPECT_GT(value, 0);
    const double share = value * operations_of(name) / (row.at("peak").get<double>() * 1e9);
    EXPECT_NEAR(row.at("share_of_peak").get<double>(), share, 1e-6 * share);

    const double executed = row.at("executed_share");
    if (name == "greedy-2-masked") {  // all three products visit observed entries only
      EXPECT_GT(executed, 0.2);
      EXPECT_LT(executed, 0.5);
    } else {
      EXPECT_EQ(executed, 1);
    }
    double of_floor = executed * share;
    std::string floor = "FMA";
    EXPECT_EQ(row.at("bandwidth").is_number(), name == "jumps-3");
    if (name == "jumps-3") {
      const double bytes = 2 * (10000 + 400) * (row.at("precision") == "f64" ? 8 : 4);
      const double of_l2 = value * bytes / (row.at("bandwidth").get<double>() * 1e9);
      if (of_l2 > of_floor) floor = "L2";
      of_floor = std::max(of_floor, of_l2);
    }
    EXPECT_EQ(row.at("floor"), floor);
    EXPECT_NEAR(row.at("share_of_floor").get<double>(), of_floor, 1e-6 * of_floor);

    EXPECT_EQ(row.at("utilization").is_number(), name == "mixed");
    if (name == "mixed") {
      EXPECT_GT(row.at("utilization").get<double>(), 0);
      EXPECT_LE(row.at("utilization").get<double>(), 1);
    }
  }
  EXPECT_EQ(found, (std::set<std::string>{"greedy-2-full f64", "greedy-2-full f32",
                                          "greedy-2-masked f64", "greedy-2-masked f32",
                                          "greedy-3-gd-full f64", "greedy-3-gd-full f32",
                                          "greedy-3-rms-full f64", "greedy-3-rms-full f32",
                                          "jumps-3 f64", "jumps-3 f32", "mixed f64"}));
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(BenchResident, RowsAndPathAreThoseAskedFor) {
  const Scratch scratch;
  const Outcome outcome = run_program(
      scratch.path(),
      resident({"--members", "8", "--path", "batched", "--rows", "mixed,greedy-2-masked"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const nlohmann::json rows = outcome.json().at("rows");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].at("name"), "greedy-2-masked");
  EXPECT_EQ(rows[1].at("name"), "greedy-2-masked");
  EXPECT_EQ(rows[2].at("name"), "mixed");
  for (const nlohmann::json& row : rows) {
    EXPECT_EQ(row.at("path"), "batched");
    EXPECT_EQ(row.at("executed_share"), 1);
    EXPECT_TRUE(row.at("utilization").is_null());
    EXPECT_EQ(row.at("checked"), true);
  }
}

TEST(BenchResident, TableTellsUtilizationAndFloors) {
  const Scratch scratch;
  const Outcome outcome = run_program(
      scratch.path(), {"bench", "resident", "--seconds", "0.02", "--repeats", "1", "--members",
                       "16", "--device", "cpu", "--rows", "mixed,jumps-3,greedy-2-masked"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  for (const char* part : {"utilization ", " before the drain", "L2 bandwidth ", "% FMA",
                           "% of the operations carried out", "operations: jumps-3: 7 w^2"}) {
    EXPECT_TRUE(contains(outcome.out, part)) << part << " is missing in " << outcome;
  }
}

TEST(BenchSpectra, RowsAreCheckedAndComplete) {
  const Scratch scratch;
  const Outcome outcome =
      run_program(scratch.path(), {"bench", "spectra", "--json", "--seconds", "0.02", "--repeats",
                                   "1", "--members", "3", "--device", "cpu", "--threads", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  const nlohmann::json rows = outcome.json().at("rows");
  // At the quick scale: apps/bench/peers/workloads/pattern_gram.py and tangent_kernel.py.
  const double patterns = 200.0 * 201 * 2000;
  const double weights = 100.0 * 128 + 3 * 128.0 * 128 + 128;
  const double kernel = 2 * 100 * (2 * weights - 100.0 * 128) +
                        100 * 101 * (100.0 + 128 + 3 * (128.0 + 128) + 128) + 2 * 5 * 1e4;
  struct Expected {
    std::string name, precision, unit;
    int members;
    double operations;
  };
  const std::vector<Expected> expected{{"svd-values", "f64", "matrices/s", 3, 8.0 / 3 * 8000},
                                       {"svd-vectors", "f64", "matrices/s", 3, 21 * 8000.0},
                                       {"least-eigenvalue", "f64", "matrices/s", 3, 4.0 / 3 * 8e6},
                                       {"large-eigenvalue", "f64", "matrices/s", 1, 8e9 / 3},
                                       {"large-spectrum", "f64", "matrices/s", 1, 4.0 / 3 * 8e9},
                                       {"pattern-gram", "f32", "products/s", 1, patterns},
                                       {"tangent-kernel", "f64", "kernels/s", 1, kernel},
                                       {"tangent-kernel", "f32", "kernels/s", 1, kernel}};
  ASSERT_EQ(rows.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const nlohmann::json& row = rows[i];
    SCOPED_TRACE(expected[i].name + " " + expected[i].precision);
    EXPECT_EQ(row.at("name"), expected[i].name);
    EXPECT_EQ(row.at("precision"), expected[i].precision);
    EXPECT_EQ(row.at("members"), expected[i].members);
    EXPECT_EQ(row.at("unit"), expected[i].unit);
    EXPECT_EQ(row.at("checked"), true);
    const double value = row.at("value");
    EXPECT_GT(value, 0);
    const double share = value * expected[i].operations / (row.at("peak").get<double>() * 1e9);
    EXPECT_NEAR(row.at("share_of_peak").get<double>(), share, 1e-6 * share);
    // The BLAS is asked in this process, without the peers' script.
    const std::string rival = expected[i].name == "pattern-gram"       ? "ssyrk"
                              : expected[i].name.substr(0, 3) == "svd" ? "dgesdd"
                                                                       : "";
    ASSERT_EQ(row.at("peers").size(), rival.empty() ? 0U : 1U);
    if (!rival.empty()) {
      const nlohmann::json& blas = row.at("peers")[0];
      EXPECT_EQ(blas.at("name"), rival);
      EXPECT_DOUBLE_EQ(blas.at("ratio").get<double>(), value / blas.at("value").get<double>());
    }
    EXPECT_EQ(row.at("planned_bytes").is_number(), expected[i].name == "tangent-kernel");
    if (expected[i].name == "tangent-kernel") {
      // Parameters twice, of four layers the states, two buffers, inputs and labels, the matrix and
      // its two products: no more than a fifth beside.
      const double elements = 2 * weights + 100 * (6 * 128 + 100 + 4) + 2 * 1e4;
      const double bytes = elements * (expected[i].precision == "f64" ? 8 : 4) + 8e4;
      EXPECT_GT(row.at("planned_bytes").get<double>(), bytes);
      EXPECT_LT(row.at("planned_bytes").get<double>(), 1.2 * bytes);
      EXPECT_GT(row.at("peak_rss_bytes").get<double>(), row.at("planned_bytes").get<double>());
    }
  }
}

TEST(BenchSpectra, UnknownRowsAreErrors) {
  const Scratch scratch;
  const Outcome outcome =
      run_program(scratch.path(), {"bench", "spectra", "--device", "cpu", "--rows", "least"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome;
  EXPECT_TRUE(
      contains(outcome.err,
               "found \"least\", expected some of svd-values, svd-vectors, least-eigenvalue, "
               "large-eigenvalue, large-spectrum, pattern-gram, tangent-kernel"))
      << outcome;
}

/// A repository whose environment's Python is `python`, a shell script.
void write_repository(const Scratch& scratch, std::string_view python) {
  fs::create_directories(scratch / "apps/bench/peers");
  fs::create_directories(scratch / "build/peers/main/bin");
  write_file(scratch / "apps/bench/peers/run_peers.py", "");
  const fs::path file = write_file(scratch / "build/peers/main/bin/python", python);
  fs::permissions(file, fs::perms::owner_all);
}

TEST(BenchResident, PeersAreMeasuredOnTheSameRows) {
  const Scratch scratch;
  write_repository(scratch, R"(#!/bin/sh
echo "$@" > words
echo measuring
while [ $# -gt 0 ]; do
  if [ "$1" = --json ]; then results=$2; fi
  shift
done
cat > "$results" <<'END'
{"rows": [
 {"name": "jumps-3", "members": 64, "precision": "f64", "peer": "numpy", "version": "2.0", "value": 10.0},
 {"name": "jumps-3", "members": 64, "precision": "f64", "peer": "jax", "version": "0.1", "value": 1000.0},
 {"name": "jumps-3", "members": 64, "precision": "f32", "peer": "jax", "version": "0.1", "value": 20.0},
 {"name": "jumps-3", "members": 65, "precision": "f32", "peer": "numpy", "version": "2.0", "value": 1.0}]}
END
exit 1
)");
  const Outcome outcome =
      run_program(scratch.path(), resident({"--rows", "jumps-3,mixed", "--peers"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(contains(outcome.err, "measuring")) << outcome;
  const std::string words = read_file(scratch / "words");
  for (const char* part :
       {"apps/bench/peers/run_peers.py", "--cases jumps-3.m64.f64,jumps-3.m64.f32 ",
        "--scale quick", "--device cpu", "--threads 1"}) {
    EXPECT_TRUE(contains(words, part)) << part << " is missing in " << words;
  }
  const nlohmann::json rows = outcome.json().at("rows");
  ASSERT_EQ(rows.size(), 3U);
  ASSERT_EQ(rows[0].at("peers").size(), 2U);
  ASSERT_EQ(rows[1].at("peers").size(), 1U);
  EXPECT_TRUE(rows[2].at("peers").empty());
  const nlohmann::json& jax = rows[0].at("peers")[1];
  EXPECT_EQ(jax.at("name"), "jax");
  EXPECT_EQ(jax.at("version"), "0.1");
  EXPECT_EQ(jax.at("value"), 1000.0);
  EXPECT_DOUBLE_EQ(jax.at("ratio").get<double>(), rows[0].at("value").get<double>() / 1000);
  EXPECT_DOUBLE_EQ(rows[1].at("peers")[0].at("ratio").get<double>(),
                   rows[1].at("value").get<double>() / 20);
}

TEST(BenchResident, MissingOrFailingPeersAreErrorsThatSayWhatToDo) {
  const Scratch scratch;
  write_repository(scratch, "#!/bin/sh\nexit 2\n");
  const Arguments words = resident({"--rows", "jumps-3", "--peers"});
  const Outcome failing = run_program(scratch.path(), words);
  EXPECT_EQ(failing.exit_code, 3) << failing;
  EXPECT_TRUE(contains(failing.err, "run_peers.py ended with exit code 2")) << failing;
  fs::remove_all(scratch / "build");
  const Outcome missing = run_program(scratch.path(), words);
  EXPECT_EQ(missing.exit_code, 2) << missing;
  EXPECT_TRUE(contains(missing.err, "build/peers/main/bin/python; run ")) << missing;
  EXPECT_TRUE(contains(missing.err, "apps/bench/peers/setup.sh first")) << missing;
}

}  // namespace
}  // namespace manyfold::testing
