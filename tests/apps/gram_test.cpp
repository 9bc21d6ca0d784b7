// `gram` and `reproduce`: Gram matrices without training, and claims of papers.
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/apps/netcdf_file.hpp"
#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

/// Without [optimizer], [stop] and [probes].
const std::string widths =
    "[model]\nkind = \"two_layer_relu\"\nhidden = 10\n[data]\nsource = \"sphere\"\nshape = 10\n"
    "count = 8\ntargets = \"random_normal\"\n[init]\nkind = \"gaussian\"\n[sweep]\n"
    "\"model.hidden\" = [16, 1024]\n\"seed\" = { range = [0, 3] }\n";

TEST(GramCommand, LooksAtNetworksAsTheyStart) {
  const Scratch scratch;
  write_file(scratch / "widths.toml", widths);
  const Outcome outcome = run_program(scratch.path(), {"gram", "widths.toml", "--quiet"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  EXPECT_TRUE(contains(outcome.out, "model.hidden = 1024")) << outcome;
  EXPECT_TRUE(contains(outcome.out, "results/widths-gram/record.nc")) << outcome;

  const Outcome json =
      run_program(scratch.path(), {"gram", "widths.toml", "--quiet", "--json", "--out", "other"});
  EXPECT_EQ(json.exit_code, 0) << json;
  const auto rows = json.json().at("rows");
  ASSERT_EQ(rows.size(), 2);
  for (const auto& row : rows) {
    EXPECT_EQ(row.at("members"), 3);
    EXPECT_GT(row.at("least").get<double>(), 0);
    EXPECT_GT(row.at("largest").get<double>(), row.at("least").get<double>());
    EXPECT_GT(row.at("bound").get<double>(), 0);
  }
  EXPECT_EQ(rows[0].at("limit_least"), rows[1].at("limit_least"));
  // Eight times nearer, but for chance.
  EXPECT_LT(rows[1].at("limit_distance").get<double>(),
            rows[0].at("limit_distance").get<double>() / 3);
}

TEST(GramCommand, TakesTheProbesOfTheFileAndLeavesTrainingOut) {
  const Scratch scratch;
  write_file(scratch / "one.toml",
             widths +
                 "[optimizer]\nkind = \"gd\"\nlearning_rate = 1e300\n[stop]\nsteps = 50\n"
                 "[probes]\ngram_eigenvalues = { every = 10, which = \"all\" }\n");
  const Outcome outcome = run_program(scratch.path(), {"gram", "one.toml", "--out", "out"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  const Outcome inspected =
      run_program(scratch.path(), {"data", "inspect", "out/record.nc", "--json"});
  EXPECT_TRUE(contains(inspected.out, "gram_eigenvalues")) << inspected;
  EXPECT_TRUE(contains(inspected.out, "finished")) << inspected;
  EXPECT_FALSE(contains(inspected.out, "tangent_kernel")) << inspected;
}

TEST(GramCommand, RejectsWhatHasNoGramMatrices) {
  const Scratch scratch;
  write_file(scratch / "chain.toml", std::string(small_experiment));
  const Outcome chain =
      run_program(scratch.path(), {"gram", "chain.toml", "--set", "probes.gram.steps=[0]"});
  EXPECT_EQ(chain.exit_code, 2) << chain;
  EXPECT_TRUE(contains(chain.err, "probes.gram: ")) << chain;
  const Outcome missing = run_program(scratch.path(), {"gram", "nothing.toml"});
  EXPECT_EQ(missing.exit_code, 2) << missing;
  EXPECT_TRUE(contains(missing.err, "nothing.toml")) << missing;
  write_file(scratch / "widths.toml", widths);
  EXPECT_EQ(run_program(scratch.path(), {"gram", "widths.toml"}).exit_code, 0);
  const Outcome again = run_program(scratch.path(), {"gram", "widths.toml"});
  EXPECT_EQ(again.exit_code, 2) << again;
  EXPECT_TRUE(contains(again.err, "--overwrite")) << again;
}

TEST(Reproduce, ListsItsExperiments) {
  const Outcome outcome = run_program(Launch{.arguments = {"reproduce", "--list"}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  for (const char* id : {"fig1", "linear-rate", "concentration", "lambda-scaling", "deep", "conv",
                         "bias", "digits"}) {
    EXPECT_TRUE(contains(outcome.out, std::string("overparam.") + id)) << outcome;
  }
}

TEST(Reproduce, RejectsUnknownNames) {
  const Scratch scratch;
  const Outcome unknown = run_program(scratch.path(), {"reproduce", "overparam.fig2"});
  EXPECT_EQ(unknown.exit_code, 2) << unknown;
  EXPECT_TRUE(contains(unknown.err, "found \"overparam.fig2\", expected one of overparam.fig1"))
      << unknown;
  const Outcome nothing = run_program(scratch.path(), {"reproduce"});
  EXPECT_EQ(nothing.exit_code, 2) << nothing;
  EXPECT_TRUE(contains(nothing.err, "--all")) << nothing;
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

/// Runs experiments at the quick scale: a line of JSON each, every claim holds, every record is
/// there.
void expect_claims_hold(const std::vector<std::string>& ids) {
  const Scratch scratch;
  Arguments arguments{"reproduce", "--quiet", "--json", "--out", "out"};
  arguments.insert(arguments.end(), ids.begin(), ids.end());
  const Outcome outcome = run_program(scratch.path(), arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome;
  std::size_t lines = 0;
  for (std::size_t at = 0; at < outcome.out.size(); ++lines) {
    const std::size_t end = outcome.out.find('\n', at);
    const auto found = nlohmann::json::parse(outcome.out.substr(at, end - at));
    EXPECT_EQ(found.at("scale"), "quick");
    EXPECT_FALSE(found.at("claims").empty());
    for (const auto& claim : found.at("claims")) {
      EXPECT_TRUE(claim.at("holds").get<bool>()) << claim;
      for (const char* key : {"id", "statement", "source", "measured", "bound"}) {
        EXPECT_TRUE(claim.at(key).is_string()) << claim;
      }
    }
    for (const auto& record : found.at("records")) {
      EXPECT_TRUE(fs::exists(scratch / record.get<std::string>())) << record;
    }
    at = end + 1;
  }
  EXPECT_EQ(lines, ids.size());
}

// The experiments that take seconds; the others run by their own command.
TEST(Reproduce, ClaimsOfLeastEigenvaluesHold) { expect_claims_hold({"overparam.lambda-scaling"}); }
TEST(Reproduce, ClaimsOfGramMatricesHold) {
  expect_claims_hold({"overparam.concentration", "overparam.bias"});
}

}  // namespace
}  // namespace manyfold::testing
