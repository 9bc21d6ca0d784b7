// Whatever is wrong with an experiment or with a flag: the exit code that DESIGN gives it, a
// message that says where it stands, what was found and what was expected, and nothing written.
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/apps/program.hpp"

namespace manyfold::testing {
namespace {

constexpr int bad_input = 2;
constexpr int no_resource = 3;

struct BadInput {
  const char* name;
  int exit_code;
  /// Each is replaced in small_experiment, where it stands exactly once.
  std::vector<std::pair<std::string, std::string>> edits;
  /// After `run small.toml --out out --quiet`.
  Arguments flags;
  /// Each stands in what is printed.
  std::vector<std::string> message;
};
void PrintTo(const BadInput& bad, std::ostream* out) { *out << bad.name; }

std::string edited(const std::vector<std::pair<std::string, std::string>>& edits) {
  std::string text(small_experiment);
  for (const auto& [from, to] : edits) {
    const std::size_t at = text.find(from);
    if (at == std::string::npos || text.find(from, at + 1) != std::string::npos) {
      throw std::logic_error("must stand once in the experiment: " + from);
    }
    text.replace(at, from.size(), to);
  }
  return text;
}

Arguments set(const std::vector<std::string>& overrides) {
  Arguments flags;
  for (const std::string& override : overrides) {
    flags.emplace_back("--set");
    flags.push_back(override);
  }
  return flags;
}

const std::string target = R"(target = { kind = "gaussian", size = 4, norm = 2.0 })";
const std::string sweep = R"("seed" = { range = [0, 4] })";
const std::string start = "kind = \"orthogonal\"\nend_norm = 0.1";

std::vector<BadInput> experiments() {
  return {
      // Keys
      {"UnknownKey",
       bad_input,
       {{"depth = 2", "dept = 2"}},
       {},
       {"manyfold: small.toml:6: model.dept: unknown key; did you mean model.depth?\n"}},
      {"UnknownTable",
       bad_input,
       {{"[stop]", "[stopp]"}},
       {},
       {"small.toml:23: stopp.steps: unknown key; did you mean stop.steps?"}},
      {"UnknownKeyFarFromAll",
       bad_input,
       {{"depth = 2", "frobnication = 2"}},
       {},
       {"small.toml:6: model.frobnication: unknown key; known in model: kind, depth, hidden"}},
      {"UnknownProbe",
       bad_input,
       {{"train_loss =", "entropy ="}},
       {},
       {"small.toml:26: probes.entropy: found no probe of that name, expected one of train_loss, "
        "grad_norm, time, alignment, ",
        "or a `kind` that is\n"}},
      {"ProbeNearlyKnown",
       bad_input,
       {{"layer_norm2 =", "layer_norm ="}},
       {},
       {"small.toml:28: probes.layer_norm: found no probe of that name, expected a probe; did "
        "you mean layer_norm2?\n"}},
      {"KeyTwice",
       bad_input,
       {{"hidden = 4", "hidden = 4\nhidden = 5"}},
       {},
       {"small.toml:8:", "hidden"}},
      {"NoValue", bad_input, {{"depth = 2", "depth ="}}, {}, {"small.toml:6:", "expected value"}},
      {"KeyMissing",
       bad_input,
       {{"learning_rate = 0.05\n", ""}},
       {},
       {"small.toml:18: optimizer.learning_rate is missing: expected a number > 0"}},
      {"TableMissing",
       bad_input,
       {{"[stop]\nsteps = 50\n", ""}},
       {},
       {"small.toml: stop.steps is missing: expected an integer >= 0"}},
      {"KeyOfAnotherOptimizer",
       bad_input,
       {{"learning_rate = 0.05", "learning_rate = 0.05\nepsilon = 1.0"}},
       {},
       {"small.toml:21: optimizer.epsilon: belongs to optimizer.kind = \"adam\" or \"rms_gd\", "
        "but here optimizer.kind is \"gd\""}},
      {"KeyOfAnotherStart",
       bad_input,
       {{"end_norm = 0.1", "end_norm = 0.1\nstddev = 0.1"}},
       {},
       {"small.toml:17: init.stddev: belongs to init.kind = \"gaussian\""}},

      // Types and words
      {"TextForNumber",
       bad_input,
       {{"0.05", "\"fast\""}},
       {},
       {"small.toml:20: optimizer.learning_rate: found \"fast\", expected a number > 0\n"}},
      {"NumberForInteger",
       bad_input,
       {{"depth = 2", "depth = 2.5"}},
       {},
       {"small.toml:6: model.depth: found 2.5, expected an integer >= 1 and <= 1024\n"}},
      {"WholeNumberForInteger",
       bad_input,
       {{"steps = 50", "steps = 1e3"}},
       {},
       {"small.toml:23: stop.steps: found 1000.0, expected an integer >= 0", "(write 1000)"}},
      {"IntegerForText",
       bad_input,
       {{"kind = \"gd\"", "kind = 3"}},
       {},
       {"small.toml:19: optimizer.kind: found 3, expected one of \"adam\", \"gd\", "
        "\"label_noise\", \"langevin\", "
        "\"momentum\", \"nesterov\", \"perturbed_gd\", \"rms_gd\", \"sgd_entries\", \"sign\"\n"}},
      {"ListForText",
       bad_input,
       {{"kind = \"gd\"", "kind = [\"gd\"]"}},
       {},
       {"small.toml:19: optimizer.kind: found [\"gd\"], expected one of"}},
      {"TextForTable",
       bad_input,
       {{target, "target = \"gaussian\""}},
       {},
       {"small.toml:11: objective.target: found \"gaussian\", expected"}},
      {"DateForNumber",
       bad_input,
       {{"0.05", "2024-01-01"}},
       {},
       {"small.toml:20: optimizer.learning_rate: found a date or time, expected a number"}},
      {"WordNearlyRight",
       bad_input,
       {{"\"deep_linear\"", "\"deep_liner\""}},
       {},
       {"small.toml:5: model.kind: found \"deep_liner\", expected one of \"deep_linear\", "
        "\"symmetric\", \"asymmetric\", \"scalar\", \"rank_one\", \"teacher\", \"network\", "
        "\"two_layer_relu\", \"fc\", \"resnet\", \"conv_resnet\", \"cnn\"; did you mean "
        "\"deep_linear\"?\n"}},
      {"WordUnknown",
       bad_input,
       {},
       set({"precision=f16"}),
       {"--set precision=f16: precision: found \"f16\", expected one of \"f64\", \"f32\", "
        "\"tf32\"\n"}},

      // Sizes and counts
      {"DepthZero",
       bad_input,
       {{"depth = 2", "depth = 0"}},
       {},
       {"small.toml:6: model.depth: found 0, expected an integer >= 1 and <= 1024\n"}},
      {"DepthNegative",
       bad_input,
       {{"depth = 2", "depth = -3"}},
       {},
       {"small.toml:6: model.depth: found -3, expected an integer >= 1 and <= 1024\n"}},
      {"DepthAbsurd",
       bad_input,
       {{"depth = 2", "depth = 1000000000"}},
       {},
       {"small.toml:6: model.depth: found 1000000000, expected an integer >= 1 and <= 1024\n"}},
      {"HiddenZero",
       bad_input,
       {{"hidden = 4", "hidden = 0"}},
       {},
       {"small.toml:7: model.hidden: found 0, expected an integer >= 1 and <= 65536"}},
      {"SizeNegative",
       bad_input,
       {{"size = 4", "size = -4"}},
       {},
       {"small.toml:11: objective.target.size: found -4, expected an integer >= 1 and <= 65536\n"}},
      {"SizeBeyondIntegers",
       bad_input,
       {{"size = 4", "size = 99999999999999999999"}},
       {},
       {"small.toml:11:", "not TOML"}},
      {"StepsNegative",
       bad_input,
       {{"steps = 50", "steps = -5"}},
       {},
       {"small.toml:23: stop.steps: found -5, expected an integer >= 0"}},
      {"SeedNegative",
       bad_input,
       {{"problem.seed = 7", "problem.seed = -7"}},
       {},
       {"small.toml:2: problem.seed: found -7, expected an integer >= 0\n"}},
      {"CadenceZero",
       bad_input,
       {{"train_loss = { every = 10 }", "train_loss = { every = 0 }"}},
       {},
       {"small.toml:26: probes.train_loss.every: found 0, expected an integer >= 1"}},
      {"SamplesAbsurd",
       bad_input,
       {{"steps = 50", "steps = 1000000000000000"}},
       {},
       {"small.toml", "probes.train_loss", "100000000000001 samples", "expected at most 10000000"}},

      // Numbers
      {"LearningRateNan",
       bad_input,
       {{"0.05", "nan"}},
       {},
       {"small.toml:20: optimizer.learning_rate: found nan, expected a finite number > 0\n"}},
      {"LearningRateInfinite",
       bad_input,
       {{"0.05", "inf"}},
       {},
       {"small.toml:20: optimizer.learning_rate: found inf, expected a finite number > 0\n"}},
      {"LearningRateNegative",
       bad_input,
       {{"0.05", "-0.05"}},
       {},
       {"small.toml:20: optimizer.learning_rate: found -0.05, expected a number > 0\n"}},
      {"LearningRateZero",
       bad_input,
       {{"0.05", "0"}},
       {},
       {"small.toml:20: optimizer.learning_rate: found 0, expected a number > 0\n"}},
      {"NanInTheSweep",
       bad_input,
       {{sweep, "\"optimizer.learning_rate\" = [0.1, nan]"}},
       {},
       {"small.toml:32: optimizer.learning_rate: found nan", "expected a finite number > 0"}},

      // Sweeps
      {"SweepWithoutKeys",
       bad_input,
       {{sweep, ""}},
       {},
       {"small.toml:31: sweep: found an empty table, expected at least one key to vary\n"}},
      {"SweepOfNothing",
       bad_input,
       {{sweep, "\"seed\" = []"}},
       {},
       {"small.toml:32: sweep.\"seed\": found [], expected at least one value\n"}},
      {"SweepOfAnEmptyRange",
       bad_input,
       {{"[0, 4]", "[4, 4]"}},
       {},
       {"small.toml:32: sweep.\"seed\": found range = [4, 4], which is empty, expected at least "
        "one "
        "value"}},
      {"SweepOfTooMany",
       bad_input,
       {{"[0, 4]", "[0, 10000000000]"}},
       {},
       {"small.toml:32: sweep.\"seed\": found", "expected at most 100000000 members\n"}},
      {"SweepOfAProbe",
       bad_input,
       {{sweep, "\"probes.train_loss.every\" = [1, 2]"}},
       {},
       {"small.toml:32: sweep.\"probes.train_loss.every\": cannot be varied"}},
      {"SweepByAnUnknownWord",
       bad_input,
       {{"range =", "rang ="}},
       {},
       {"small.toml:32: sweep.\"seed\"",
        "expected one of values, linspace, geomspace, range; did "
        "you mean range?"}},

      // Optimizers
      {"MomentumOfGd",
       bad_input,
       {{"kind = \"gd\"", "kind = \"gd\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nmomentum = 0.9"}},
       {},
       {"small.toml:21: optimizer.momentum: belongs to optimizer.kind = \"momentum\" or "
        "\"nesterov\", but here optimizer.kind is \"gd\""}},
      {"MomentumOfOne",
       bad_input,
       {{"kind = \"gd\"", "kind = \"momentum\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nmomentum = 1"}},
       {},
       {"small.toml:21: optimizer.momentum: found 1, expected a number >= 0 and < 1\n"}},
      {"BatchZero",
       bad_input,
       {{"kind = \"gd\"", "kind = \"sgd_entries\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nbatch = 0"}},
       {},
       {"small.toml:21: optimizer.batch: found 0, expected an integer >= 1 and <= 1000000\n"}},
      {"BatchFraction",
       bad_input,
       {{"kind = \"gd\"", "kind = \"sgd_entries\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nbatch = 1.5"}},
       {},
       {"small.toml:21: optimizer.batch: found 1.5, expected an integer >= 1"}},
      {"ReplacementAsText",
       bad_input,
       {{"kind = \"gd\"", "kind = \"sgd_entries\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nreplacement = \"yes\""}},
       {},
       {"small.toml:21: optimizer.replacement: found \"yes\", expected true or false\n"}},
      {"TemperatureMissing",
       bad_input,
       {{"kind = \"gd\"", "kind = \"langevin\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\n"}},
       {},
       {"small.toml:18: optimizer.temperature is missing where optimizer.kind = \"langevin\": "
        "expected a number >= 0"}},
      {"TemperatureNegative",
       bad_input,
       {{"kind = \"gd\"", "kind = \"langevin\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\ntemperature = -1"}},
       {},
       {"small.toml:21: optimizer.temperature: found -1, expected a number >= 0\n"}},
      {"LabelNoiseMissing",
       bad_input,
       {{"kind = \"gd\"", "kind = \"label_noise\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\n"}},
       {},
       {"small.toml:18: optimizer.label_noise: found nothing, expected the standard deviation of "
        "the noise\n"}},
      {"LabelNoiseNegative",
       bad_input,
       {{"kind = \"gd\"", "kind = \"sgd_entries\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nlabel_noise = -0.5"}},
       {},
       {"small.toml:21: optimizer.label_noise: found -0.5, expected a number >= 0\n"}},
      {"BetaOfOne",
       bad_input,
       {{"kind = \"gd\"", "kind = \"adam\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nbeta2 = 1.0"}},
       {},
       {"small.toml:21: optimizer.beta2: found 1.0, expected a number >= 0 and < 1\n"}},
      {"AdamEpsilonZero",
       bad_input,
       {{"kind = \"gd\"", "kind = \"adam\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\nepsilon = 0"}},
       {},
       {"small.toml:21: optimizer.epsilon: found 0, expected a number > 0\n"}},
      {"RadiusMissing",
       bad_input,
       {{"kind = \"gd\"", "kind = \"perturbed_gd\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\ngrad_threshold = 0.1"}},
       {},
       {"small.toml:18: optimizer.radius is missing where optimizer.kind = \"perturbed_gd\": "
        "expected a number > 0"}},
      {"RadiusZero",
       bad_input,
       {{"kind = \"gd\"", "kind = \"perturbed_gd\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\ngrad_threshold = 0.1\nradius = 0"}},
       {},
       {"small.toml:22: optimizer.radius: found 0, expected a number > 0\n"}},
      {"GradThresholdNan",
       bad_input,
       {{"kind = \"gd\"", "kind = \"perturbed_gd\""},
        {"learning_rate = 0.05", "learning_rate = 0.05\ngrad_threshold = nan\nradius = 1"}},
       {},
       {"small.toml:21: optimizer.grad_threshold: found nan, expected a finite number >= 0\n"}},
      {"MinStepsNegative",
       bad_input,
       {{"kind = \"gd\"", "kind = \"perturbed_gd\""},
        {"learning_rate = 0.05",
         "learning_rate = 0.05\ngrad_threshold = 0.1\nradius = 1\nmin_steps = -1"}},
       {},
       {"small.toml:23: optimizer.min_steps: found -1, expected an integer >= 0"}},

      // Schedules
      {"ScheduleOfWhatTheOptimizerLacks",
       bad_input,
       {{"[stop]", "[schedule.momentum]\nkind = \"linear\"\nfinal = 0.5\nsteps = 10\n[stop]"}},
       {},
       {"small.toml:23: schedule.momentum.kind: belongs to optimizer.kind = \"momentum\" or "
        "\"nesterov\", but here optimizer.kind is \"gd\""}},
      {"ScheduleOfAnUnknownName",
       bad_input,
       {{"[stop]", "[schedule.learnin_rate]\nkind = \"linear\"\n[stop]"}},
       {},
       {"small.toml:23: schedule.learnin_rate.kind: unknown key; did you mean "
        "schedule.learning_rate.kind?"}},
      {"ScheduleOfUnknownKind",
       bad_input,
       {{"[stop]", "[schedule.learning_rate]\nkind = \"cosin\"\n[stop]"}},
       {},
       {"small.toml:23: schedule.learning_rate.kind: found \"cosin\", expected one of "
        "\"constant\", \"piecewise\"",
        "did you mean \"cosine\"?"}},
      {"ScheduleListWithoutItsKind",
       bad_input,
       {{"[stop]", "[schedule.learning_rate]\nat = [0, 5]\nvalues = [1, 2]\n[stop]"}},
       {},
       {"small.toml:23: schedule.learning_rate.at: belongs to schedule.learning_rate.kind = "
        "\"piecewise\", but here schedule.learning_rate.kind is \"constant\""}},
      {"ScheduleOfDifferentLengths",
       bad_input,
       {{"[stop]",
         "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0, 5, 9]\nvalues = [0.1, "
         "0.2]\n[stop]"}},
       {},
       {"small.toml:25: schedule.learning_rate.values: found a list of 2, expected a list of 3, "
        "one value for each element of schedule.learning_rate.at\n"}},
      {"ScheduleOutOfOrder",
       bad_input,
       {{"[stop]",
         "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0, 9, 5]\nvalues = [0.1, 0.2, "
         "0.3]\n[stop]"}},
       {},
       {"small.toml:24: schedule.learning_rate.at: found [0, 9, 5], expected steps in ascending "
        "order\n"}},
      {"ScheduleOfOneStepTwice",
       bad_input,
       {{"[stop]",
         "[schedule.learning_rate]\nkind = \"piecewise\"\nat = [0, 5, 5]\nvalues = [0.1, 0.2, "
         "0.3]\n[stop]"}},
       {},
       {"small.toml:24: schedule.learning_rate.at: found [0, 5, 5], expected steps in ascending "
        "order\n"}},
      {"ScheduleOfANegativeRate",
       bad_input,
       {{"[stop]",
         "[schedule.learning_rate]\nkind = \"periodic\"\nlengths = [5, 5]\nvalues = [0.1, "
         "-0.2]\n[stop]"}},
       {},
       {"small.toml:25: schedule.learning_rate.values: found -0.2 as element 2, expected a value "
        "of optimizer.learning_rate >= 0\n"}},
      {"ScheduleOfMomentumOne",
       bad_input,
       {{"kind = \"gd\"", "kind = \"momentum\""},
        {"[stop]", "[schedule.momentum]\nkind = \"piecewise\"\nat = [5]\nvalues = [1.0]\n[stop]"}},
       {},
       {"small.toml:25: schedule.momentum.values: found 1 as element 1, expected a value of "
        "optimizer.momentum >= 0 and < 1\n"}},
      {"ScheduleOfAnInfiniteFinal",
       bad_input,
       {{"[stop]", "[schedule.learning_rate]\nkind = \"linear\"\nfinal = inf\nsteps = 10\n[stop]"}},
       {},
       {"small.toml:24: schedule.learning_rate.final: found inf, expected a finite number\n"}},
      {"ScheduleOfAFinalMomentumAboveOne",
       bad_input,
       {{"kind = \"gd\"", "kind = \"momentum\""},
        {"[stop]", "[schedule.momentum]\nkind = \"linear\"\nfinal = 1.5\nsteps = 10\n[stop]"}},
       {},
       {"small.toml:24: schedule.momentum.final: found 1.5, expected a value of optimizer.momentum "
        ">= 0 and < 1\n"}},
      {"ScheduleExponentialToZero",
       bad_input,
       {{"[stop]",
         "[schedule.learning_rate]\nkind = \"exponential\"\nfinal = 0\nsteps = 10\n[stop]"}},
       {},
       {"small.toml:24: schedule.learning_rate.final: found 0, expected a number > 0 within a "
        "factor 1e300 of optimizer.learning_rate = 0.05\n"}},
      {"ScheduleWithoutItsLength",
       bad_input,
       {{"[stop]", "[schedule.learning_rate]\nkind = \"cosine\"\nfinal = 0\n[stop]"}},
       {},
       {"small.toml:22: schedule.learning_rate.steps is missing where schedule.learning_rate.kind "
        "= "
        "\"cosine\": expected an integer >= 1"}},
      {"SchedulePeriodOfNoSteps",
       bad_input,
       {{"[stop]",
         "[schedule.learning_rate]\nkind = \"periodic\"\nlengths = [5, 0]\nvalues = [0.1, "
         "0.2]\n[stop]"}},
       {},
       {"small.toml:24: schedule.learning_rate.lengths: found 0 as element 2, expected a list of "
        "integers >= 1"}},
      {"ScheduleOfNothing",
       bad_input,
       {{"[stop]", "[schedule.learning_rate]\nkind = \"piecewise\"\nat = []\nvalues = []\n[stop]"}},
       {},
       {"small.toml:24: schedule.learning_rate.at: found [], expected a list of integers >= 0",
        "that is not empty"}},
      {"ScheduleOfAbsentWeightDecay",
       bad_input,
       {{"[stop]", "[schedule.l2]\nkind = \"linear\"\nfinal = 0\nsteps = 10\n[stop]"}},
       {},
       {"small.toml:23: schedule.l2.kind: found a schedule without objective.l2, expected a value "
        "of it, which the schedule can vary\n"}},
      {"WarmupNegative",
       bad_input,
       {{"[stop]", "[schedule.learning_rate]\nwarmup = -3\n[stop]"}},
       {},
       {"small.toml:23: schedule.learning_rate.warmup: found -3, expected an integer >= 0"}},

      // Shapes, targets, masks
      {"ShapesThatDoNotMultiply",
       bad_input,
       {{"depth = 2\nhidden = 4", "sizes = [4, 3, 5]\n"}},
       {},
       {"small.toml:6: model.sizes: found [4, 3, 5], whose end-to-end matrix is 5x4, expected the "
        "target's shape 4x4"}},
      {"HiddenOfWrongLength",
       bad_input,
       {{"hidden = 4", "hidden = [3, 3]"}},
       {},
       {"small.toml:7: model.hidden: found 2 widths [3, 3], expected 1 for depth 2"}},
      {"SizesBesideDepth",
       bad_input,
       {{"hidden = 4", "sizes = [4, 4, 4]"}},
       {},
       {"small.toml:6: model.depth: found a value beside model.sizes, expected either"}},
      {"SymmetricWithOddDepth",
       bad_input,
       {{"\"deep_linear\"", "\"symmetric\""}},
       set({"model.depth=3"}),
       {"--set model.depth=3: model.depth: found 3, expected an even depth"}},
      {"SymmetricModelOfAnOblongTarget",
       bad_input,
       {{"\"deep_linear\"", "\"symmetric\""}, {"size = 4", "rows = 4, cols = 5"}},
       {},
       {"small.toml:5: model.kind: found \"symmetric\" with a target of 4x5, expected a square "
        "target\n"}},
      {"SymmetricObjectiveOfAnOblongTarget",
       bad_input,
       {{"size = 4", "rows = 4, cols = 5"}, {"observed = 0.5", "observed = 0.5\nsymmetric = true"}},
       {},
       {"small.toml:13: objective.symmetric: found true with a target of 4x5, expected a square "
        "target\n"}},
      {"MoreImagesThanThereAre",
       bad_input,
       {{target, "target = { kind = \"digits\", rows = 1798 }"},
        {"singular_values = { every = 10, count = 3 }", "grad_norm = { every = 10 }"}},
       {},
       {"small.toml:11: objective.target.rows: found 1798, expected at most the 1797 images there "
        "are\n"}},
      {"SymmetricImages",
       bad_input,
       {{target, "target = { kind = \"digits\", rows = 64 }\nsymmetric = true"}},
       {},
       {"small.toml:12: objective.symmetric: found true with images as rows, expected false"}},
      {"RankAboveTheMatrix",
       bad_input,
       {{target, "target = { kind = \"low_rank\", size = 4, singular_values = [5, 4, 3, 2, 1] }"}},
       {},
       {"small.toml:11: objective.target.singular_values: found 5 values, expected at most "
        "min(rows, cols) = 4\n"}},
      {"MaskThatObservesNothing",
       bad_input,
       {{"observed = 0.5", "observed = 1e-12"}},
       {},
       {"small.toml:12: objective.observed: found 1e-12, which observes no entry, expected a "
        "larger "
        "share, or another problem.seed\n"}},
      {"NothingObservedAtAll",
       bad_input,
       {{"observed = 0.5", "observed = 0"}},
       {},
       {"small.toml:12: objective.observed: found 0, expected a number > 0 and <= 1\n"}},
      {"MoreObservedThanAll",
       bad_input,
       {{"observed = 0.5", "observed = 1.5"}},
       {},
       {"small.toml:12: objective.observed: found 1.5, expected a number > 0 and <= 1\n"}},
      {"IdentityOfOblongLayers",
       bad_input,
       {{"kind = \"orthogonal\"\nend_norm = 0.1", "kind = \"identity\"\nalpha = 0.1"}},
       set({"model.hidden=3"}),
       {"init.kind: found \"identity\" with layers 4x3 . 3x4, expected square layers"}},

      // Probes
      {"NoProbes",
       bad_input,
       {{"train_loss = { every = 10 }\n", ""},
        {"test_loss = { every = \"geometric\", per_decade = 3, running = \"min\" }\n", ""},
        {"layer_norm2 = { every = 10 }\n", ""},
        {"singular_values = { every = 10, count = 3 }\n", ""}},
       {},
       {"small.toml", "probes: found no probe, expected at least one"}},
      {"ProbeWithoutCadence",
       bad_input,
       {{"every = 10, count = 3", "count = 3"}},
       {},
       {"small.toml:29: probes.singular_values.every: found nothing, expected steps between "
        "samples"}},
      {"ProbeWithUnknownCadence",
       bad_input,
       {{"train_loss = { every = 10 }", "train_loss = { every = \"sometimes\" }"}},
       {},
       {"small.toml:26: probes.train_loss.every: found \"sometimes\", expected an integer, "
        "\"geometric\", or the name of a table under [cadences]\n"}},
      {"ProbeWithTwoCadences",
       bad_input,
       {{"train_loss = { every = 10 }", "train_loss = { every = 10, steps = [1, 2] }"}},
       {},
       {"small.toml:26: probes.train_loss.every: found a value beside probes.train_loss.steps"}},
      {"ProbeKindUnderTheNameOfAnother",
       bad_input,
       {{"layer_norm2 = {", "layer_norm2 = { kind = \"end_norm\","}},
       {},
       {"small.toml:28: probes.layer_norm2.kind: found \"end_norm\" under the name of another "
        "probe, expected a name of your own for the table\n"}},
      {"ProbeKindUnknown",
       bad_input,
       {{"layer_norm2 = {", "norms = { kind = \"layer_nrm2\","}},
       {},
       {"small.toml:28: probes.norms.kind: found \"layer_nrm2\", expected one of",
        "did you mean \"layer_norm2\"?\n"}},
      {"ProbeNameWithABlank",
       bad_input,
       {{"layer_norm2 = {", "\"my norms\" = { kind = \"layer_norm2\","}},
       {},
       {"small.toml:28: probes.my norms: found the name \"my norms\", expected letters, digits and "
        "underscores, a letter first\n"}},
      {"ProbeNameThatIsTaken",
       bad_input,
       {{"layer_norm2 = {", "seed = { kind = \"layer_norm2\","}},
       {},
       {"small.toml:28: probes.seed: found a name that the record has for something else, expected "
        "another name for the probe\n"}},
      {"ProbeWithoutItsKey",
       bad_input,
       {{"layer_norm2 = {", "low_rankness = {"}},
       {},
       {"small.toml:28: probes.low_rankness.rank is missing where model.kind = \"deep_linear\": "
        "expected an integer >= 0\n"}},
      {"NamedProbeWithoutItsKey",
       bad_input,
       {{"layer_norm2 = {", "tail = { kind = \"low_rankness\","}},
       {},
       {"small.toml:28: probes.tail.rank: found nothing, expected an integer >= 0\n"}},
      {"KeyOfAnotherProbe",
       bad_input,
       {{"layer_norm2 = {", "tail = { kind = \"low_rankness\", rank = 1, tolerance = 0.1,"}},
       {},
       {"small.toml:28: probes.tail.tolerance: belongs to probes.tail.kind = \"numerical_rank\", "
        "but "
        "here probes.tail.kind is \"low_rankness\""}},
      {"SharpnessWithoutSteps",
       bad_input,
       {{"layer_norm2 = {", "sharpness = { lanczos_steps = 0,"}},
       {},
       {"small.toml:28: probes.sharpness.lanczos_steps: found 0, expected an integer >= 1 and <= "
        "10000\n"}},
      {"SharpnessOfTooManySteps",
       bad_input,
       {{"layer_norm2 = {", "tail = { kind = \"least_curvature\", lanczos_steps = 20000,"}},
       {},
       {"small.toml:28: probes.tail.lanczos_steps: found 20000, expected an integer >= 1 and <= "
        "10000\n"}},
      {"SchattenNormOfZero",
       bad_input,
       {{"layer_norm2 = {", "schatten_norm = { p = 0,"}},
       {},
       {"small.toml:28: probes.schatten_norm.p: found 0, expected a number > 0\n"}},
      {"LowRanknessBeyondTheMatrix",
       bad_input,
       {{"layer_norm2 = {", "low_rankness = { rank = 4,"}},
       {},
       {"small.toml:28: probes.low_rankness.rank: found 4, expected a rank below min(rows, cols) = "
        "4\n"}},
      {"RatioBeyondTheMatrix",
       bad_input,
       {{"layer_norm2 = {", "rank_ratio = { index = 4,"}},
       {},
       {"small.toml:28: probes.rank_ratio.index: found 4, expected an index below min(rows, cols) "
        "= "
        "4: s_{index + 1} / s_index\n"}},
      {"MoreSingularValuesThanALayerHas",
       bad_input,
       {{"layer_norm2 = {", "layer_singular_values = { count = 5,"}},
       {},
       {"small.toml:28: probes.layer_singular_values.count: found 5, expected at most 4, the "
        "largest "
        "min(rows, cols) of a layer of 4x4 . 4x4\n"}},
      {"ToleranceOfOne",
       bad_input,
       {{"layer_norm2 = {", "numerical_rank = { tolerance = 1,"}},
       {},
       {"small.toml:28: probes.numerical_rank.tolerance: found 1, expected a number >= 0 and < "
        "1\n"}},
      {"FactorsOfThreeLayers",
       bad_input,
       {{"depth = 2", "depth = 3"}, {"layer_norm2 =", "factor_distance ="}},
       {},
       {"small.toml:28: probes.factor_distance.every: found a comparison of the factors of 4x4 . "
        "4x4 "
        ". 4x4, expected model.kind = \"deep_linear\" of depth 2 with a square target: W = X "
        "Y^T\n"}},
      {"RegionWithoutItsBound",
       bad_input,
       {{"layer_norm2 = {", "in_b_r = { rank = 1, alpha = 0.1, epsilon1 = 1, epsilon2 = 0.1,"}},
       {},
       {"small.toml:28: probes.in_b_r.bound is missing where model.kind = \"deep_linear\": "
        "expected a number > 0\n"}},
      {"AlignmentWithAGradientThatIsNotSymmetric",
       bad_input,
       {{"layer_norm2 = {", "alignment = { of = \"gradient\","}},
       {},
       {"small.toml:28: probes.alignment.of: found \"gradient\" with an objective that is not "
        "symmetric, expected objective.symmetric = true"}},
      {"AlignmentWithAFileThatIsNotThere",
       bad_input,
       {{"layer_norm2 = {", "alignment = { of = \"file\", file = \"none.npy\","}},
       {},
       {"small.toml:28: probes.alignment.file: found ", "none.npy", "expected an array file\n"}},
      {"AlignmentWithoutItsFile",
       bad_input,
       {{"layer_norm2 = {", "alignment = { of = \"file\","}},
       {},
       {"small.toml:28: probes.alignment.file: found nothing, expected an array file of "
        "directions\n"}},
      {"DistanceFromTheTargetOfALinearObjective",
       bad_input,
       {{"kind = \"completion\"", "kind = \"linear\""},
        {"observed = 0.5\n", ""},
        {"layer_norm2 =", "distance ="}},
       {},
       {"small.toml:27: probes.distance.every: found a distance from the target of a linear "
        "objective, which has none, expected a file of a matrix\n"}},
      {"DistanceFromAFileAndARank",
       bad_input,
       {{"layer_norm2 = {", "distance = { rank = 1, file = \"none.npy\","}},
       {},
       {"small.toml:28: probes.distance.rank: found a value beside probes.distance.file, expected "
        "a "
        "rank of the target's best approximation, or a file\n"}},
      {"DistanceFromARankBeyondTheMatrix",
       bad_input,
       {{"layer_norm2 = {", "distance = { rank = 5,"}},
       {},
       {"small.toml:28: probes.distance.rank: found 5, expected at most min(rows, cols) = 4\n"}},
      {"EventOfEveryParameter",
       bad_input,
       {{"layer_norm2 = {", "parameters = { running = \"max\","}},
       {},
       {"small.toml:28: probes.parameters: found an extreme or an event of every parameter, "
        "expected "
        "a cadence alone\n"}},
      {"TooManySingularValues",
       bad_input,
       {{"count = 3", "count = 5"}},
       {},
       {"small.toml:29: probes.singular_values.count: found 5, expected at most min(rows, cols) = "
        "4\n"}},
      {"BalanceOfASingleLayer",
       bad_input,
       {{"depth = 2\nhidden = 4", "depth = 1\n"}, {"layer_norm2 =", "balance ="}},
       {},
       {"small.toml:28: probes.balance.every: found a probe of neighbouring layers of 4x4, "
        "expected a "
        "model with at least two layers\n"}},

      // --set
      {"SetWithoutValue",
       bad_input,
       {},
       set({"model.depth"}),
       {"--set model.depth: found no '=', expected KEY=VALUE\n"}},
      {"SetWithoutKey",
       bad_input,
       {},
       set({"=3"}),
       {"--set =3: found no key, expected KEY=VALUE\n"}},
      {"SetOfAnUnknownKey",
       bad_input,
       {},
       set({"model.dept=3"}),
       {"--set model.dept=3: model.dept: unknown key; did you mean model.depth?\n"}},
      {"SetOfASweptKey",
       bad_input,
       {},
       set({"seed=3"}),
       {"--set seed=3: seed is varied by the sweep (small.toml:32); override its entry there: "
        "--set "
        "'sweep.\"seed\"=[3]'\n"}},
      {"SetOfNothing", bad_input, {}, {"--set"}, {"--set"}},

      // Models, objectives, targets and masks
      {"RankOfAnotherModel",
       bad_input,
       {{"hidden = 4", "rank = 4"}},
       {},
       {"small.toml:7: model.rank: belongs to model.kind = \"asymmetric\", but here model.kind is "
        "\"deep_linear\""}},
      {"PatternOfAFactorization",
       bad_input,
       {{"hidden = 4", "hidden = 4\npatterns = \"g.npy\""}},
       {},
       {"small.toml:8: model.patterns: belongs to model.kind = \"network\", but here model.kind is "
        "\"deep_linear\""}},
      {"ScalarModelOfAMatrix",
       bad_input,
       {{"kind = \"deep_linear\"\ndepth = 2\nhidden = 4", "kind = \"scalar\"\ndimension = 3"}},
       {},
       {"small.toml:5: model.kind: found \"scalar\" with a target of 4x4, expected a target of "
        "1x1"}},
      {"ScalarModelWithoutDimension",
       bad_input,
       {{"kind = \"deep_linear\"\ndepth = 2\nhidden = 4", "kind = \"scalar\""}},
       {},
       {"small.toml:4: model.dimension is missing where model.kind = \"scalar\": expected an "
        "integer >= 1"}},
      {"BalancePenaltyOfThreeLayers",
       bad_input,
       {{"depth = 2", "depth = 3"}, {"observed = 0.5", "observed = 0.5\nbalance_penalty = 0.1"}},
       {},
       {"small.toml:13: objective.balance_penalty: found a value for 4x4 . 4x4 . 4x4, expected a "
        "model of two layers"}},
      {"NegativeWeightDecay",
       bad_input,
       {{"observed = 0.5", "observed = 0.5\nl2 = -0.1"}},
       {},
       {"small.toml:13: objective.l2: found -0.1, expected a number >= 0\n"}},
      {"ConventionUnknown",
       bad_input,
       {{"observed = 0.5", "observed = 0.5\nconvention = \"papr\""}},
       {},
       {"small.toml:13: objective.convention: found \"papr\", expected one of \"sum\", "
        "\"paper\", \"weight-decay\""}},
      {"MaskOfTooManyEntries",
       bad_input,
       {{"observed = 0.5", "mask = { kind = \"count\", count = 17 }"}},
       {},
       {"small.toml:12: objective.mask.count: found 17, expected at most the 16 entries of 4x4\n"}},
      {"MaskOfTooManyPairs",
       bad_input,
       {{"observed = 0.5", "mask = { kind = \"count\", count = 11 }\nsymmetric = true"}},
       {},
       {"small.toml:12: objective.mask.count: found 11, expected at most the 10 pairs {i, j} of "
        "4x4\n"}},
      {"MaskEntryOutside",
       bad_input,
       {{"observed = 0.5", "mask = { kind = \"entries\", rows = [0, 4], cols = [0, 1] }"}},
       {},
       {"small.toml:12: objective.mask.rows: found 4 for entry number 2 of a target of 4x4, "
        "expected at most 3: they count from 0\n"}},
      {"MaskListsOfTwoLengths",
       bad_input,
       {{"observed = 0.5", "mask = { kind = \"entries\", rows = [0, 1], cols = [0, 1, 2] }"}},
       {},
       {"small.toml:12: objective.mask.cols: found 3 numbers, expected 2, as many as "
        "objective.mask.rows\n"}},
      {"MaskFileMissing",
       bad_input,
       {{"observed = 0.5", "mask = { kind = \"file\", path = \"none.npy\" }"}},
       {},
       {"small.toml:12: objective.mask.path: ", "none.npy"}},
      {"ObservedBesideAList",
       bad_input,
       {{"observed = 0.5",
         "observed = 0.5\nmask = { kind = \"entries\", rows = [0], cols = [0] }"}},
       {},
       {"small.toml:12: objective.observed: belongs to objective.mask.kind = \"random\", but here "
        "objective.mask.kind is \"entries\""}},
      {"ValuesOfAnotherSize",
       bad_input,
       {{target, "target = { kind = \"values\", size = 4, values = [1, 2] }"}},
       {},
       {"small.toml:11: objective.target.values: found 2 values, expected 16, the entries of 4x4 "
        "row by row\n"}},
      {"TargetNotSymmetric",
       bad_input,
       {{target,
         "target = { kind = \"values\", size = 4, values = [1, 2, 3, 4, 2, 1, 5, 6, 3, 5, 1, 7, 4, "
         "6, 8, 1] }\nsymmetric = true"}},
       {},
       {"small.toml:12: objective.symmetric: found true with a target whose entries (3, 2) and "
        "(2, 3) differ, expected false, or a symmetric target\n"}},
      {"TargetFileMissing",
       bad_input,
       {{target, "target = { kind = \"file\", path = \"none.npy\" }"}},
       {},
       {"small.toml:11: objective.target.path: ", "none.npy"}},
      {"TargetRankAboveItsSides",
       bad_input,
       {{target, "target = { kind = \"gaussian\", size = 4, rank = 5 }"}},
       {},
       {"small.toml:11: objective.target.rank: found 5, expected at most min(rows, cols) = 4\n"}},
      {"NormOfNothing",
       bad_input,
       {{target, "target = { kind = \"zero\", size = 4, norm = 1.5 }"}},
       {},
       {"small.toml:11: objective.target.norm: found 1.5 for a target of zeros, expected a target "
        "that is not zero\n"}},
      {"ShiftOfACompletion",
       bad_input,
       {{"observed = 0.5", "observed = 0.5\nshift = \"best_rank\""}},
       {},
       {"small.toml:13: objective.shift: belongs to objective.kind = \"full\""}},
      {"ShiftOfASymmetricModel",
       bad_input,
       {{"kind = \"deep_linear\"", "kind = \"symmetric\""},
        {"kind = \"completion\"", "kind = \"full\""},
        {"observed = 0.5", "shift = \"best_rank\""}},
       {},
       {"small.toml:12: objective.shift: found \"best_rank\" with model.kind = \"symmetric\", "
        "expected a model that every matrix of its rank belongs to"}},
      {"SensingWithoutCount",
       bad_input,
       {{"kind = \"completion\"", "kind = \"sensing\""}, {"observed = 0.5\n", ""}},
       {},
       {"small.toml:9: objective.measurements.count is missing where objective.measurements.kind = "
        "\"gaussian\": expected an integer >= 1"}},

      // Flags
      {"DeviceUnknown",
       bad_input,
       {},
       {"--device", "abacus"},
       {"device", "\"abacus\"", "auto, cpu"}},
      {"DeviceWithoutNumber", bad_input, {}, {"--device", "cuda:"}, {"\"cuda:\"", "cuda:0"}},
      {"MemoryUnknown",
       bad_input,
       {},
       {"--memory", "much"},
       {"--memory: found \"much\", expected a size such as 512MiB or 8GiB\n"}},
      {"MemoryNegative",
       bad_input,
       {},
       {"--memory", "-5GiB"},
       {"--memory: found \"-5GiB\", expected"}},
      {"MemoryZero", bad_input, {}, {"--memory", "0"}, {"--memory: found \"0\", expected"}},
      {"MemoryNan", bad_input, {}, {"--memory", "nan"}, {"--memory: found \"nan\", expected"}},
      {"MemoryOfUnknownUnit",
       bad_input,
       {},
       {"--memory", "3XB"},
       {"--memory: found \"3XB\", expected"}},
      {"ThreadsZero", bad_input, {}, {"--threads", "0"}, {"--threads", "0", "1 to 4096"}},
      {"ThreadsNegative", bad_input, {}, {"--threads", "-2"}, {"--threads", "-2", "1 to 4096"}},
      {"ThreadsUnknown", bad_input, {}, {"--threads", "many"}, {"--threads", "many"}},
      {"FlagUnknown", bad_input, {}, {"--frobnicate"}, {"--frobnicate"}},
      {"FlagOfLaterWork", bad_input, {}, {"--resume"}, {"--resume"}},
      {"TwoFiles", bad_input, {}, {"other.toml"}, {"other.toml"}},

      // Offshoots
      {"OffshootWithoutSteps",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\n\"optimizer.learning_rate\" = 0.1"}},
       {},
       {"small.toml:34: offshoots.late.at is missing: expected the steps at which to branch off"}},
      {"OffshootWithAnUnknownKey",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\nat = [10]\noptimizer.learning_rat = 0.1"}},
       {},
       {"small.toml:35: offshoots.late.optimizer.learning_rat: unknown key; did you mean "
        "optimizer.learning_rate?"}},
      {"OffshootOfAnotherNetwork",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\nat = [10]\n\"model.depth\" = 3"}},
       {},
       {"small.toml:35: offshoots.late.model.depth: cannot be set by an offshoot, which goes on "
        "with "
        "the network, the problem and the probes of its parent"}},
      {"OffshootWithOtherProbes",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\nat = [10]\nprobes.train_loss.every = 1"}},
       {},
       {"small.toml:35: offshoots.late.probes.train_loss.every: cannot be set by an offshoot"}},
      {"OffshootOfAnOffshoot",
       bad_input,
       {{sweep,
         sweep + "\n[offshoots.late]\nat = [10]\n[offshoots.late.offshoots.later]\nat = [20]"}},
       {},
       {"small.toml:35: offshoots.late.offshoots: an offshoot cannot have offshoots"}},
      {"OffshootBeyondItsParent",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\nat = [10, 51]"}},
       {},
       {"small.toml:34: offshoots.late.at: found 51, expected at most 50, where stop.steps ends "
        "member 0"}},
      {"OffshootBeyondItsOwnEnd",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\nat = [10]\n\"stop.steps\" = 9"}},
       {},
       {"small.toml:34: offshoots.late.at: found 10, expected at most 9, the offshoot's "
        "stop.steps"}},
      {"OffshootWithTwoEnds",
       bad_input,
       {{sweep, sweep + "\n[offshoots.late]\nat = [10]\nsteps = 3\nstop.steps = 20"}},
       {},
       {"small.toml:36: offshoots.late.stop.steps: found a value beside steps, expected one of the "
        "two"}},
      {"OffshootBeforeTheStart",
       bad_input,
       {},
       set({"offshoots.late.at=[-1]"}),
       {"--set offshoots.late.at=[-1]: offshoots.late.at: found -1, expected a number >= 0"}},
      {"OffshootBetweenSteps",
       bad_input,
       {},
       set({"offshoots.late.at=[1.5]"}),
       {"offshoots.late.at: found 1.5, expected integers >= 0"}},
      {"OffshootAtOneStep",
       bad_input,
       {},
       set({"offshoots.late.at=10"}),
       {"offshoots.late.at: found 10, expected a list of values, or a table with"}},
      {"OffshootOfNoLength",
       bad_input,
       {},
       set({"offshoots.late.at=[10]", "offshoots.late.steps=0"}),
       {"--set offshoots.late.steps=0: offshoots.late.steps: found 0, expected an integer >= 1"}},
      {"OffshootWithAKeyOfAnotherOptimizer",
       bad_input,
       {},
       set({"offshoots.late.at=[10]", "offshoots.late.optimizer.epsilon=1.0"}),
       {"optimizer.epsilon: belongs to optimizer.kind = \"adam\" or \"rms_gd\", but here "
        "optimizer.kind is "
        "\"gd\""}},
      {"OffshootOutOfRange",
       bad_input,
       {},
       set({"offshoots.late.at=[10]", "offshoots.late.optimizer.learning_rate=-1"}),
       {"offshoots.late.optimizer.learning_rate: found -1, expected a number > 0"}},
      {"OffshootsThatAreNoTables",
       bad_input,
       {},
       set({"offshoots=3"}),
       {"offshoots: found 3, expected tables [offshoots.NAME]"}},
      {"OffshootThatIsNoTable",
       bad_input,
       {},
       set({"offshoots.late=3"}),
       {"offshoots.late: found 3, expected a table with at, steps, and what it sets"}},
      {"TooManyOffshoots",
       bad_input,
       {},
       set({"offshoots.late.at={range=[0, 99999999]}", "stop.steps=99999999"}),
       {"offshoots.late.at: found 99999999 values times 4 members, expected at most 100000000 "
        "members"}},

      // Memory
      {"MemoryForOneMember",
       no_resource,
       {},
       {"--memory", "1"},
       {"one member of deep_linear 4x4 . 4x4 completion, gd, f64 needs", "the budget on",
        "is 1 bytes"}},
      {"SizeBeyondMemory",
       no_resource,
       {{"size = 4", "size = 65536"},
        {"singular_values = { every = 10, count = 3 }", "grad_norm = { every = 10 }"}},
       {"--memory", "1GiB"},
       {"one member of deep_linear 65536x4 . 4x65536 completion, gd, f64 needs",
        "1073741824 bytes"}},
      {"DepthBeyondMemory",
       no_resource,
       {{"depth = 2\nhidden = 4", "depth = 1024\nhidden = 65536"}},
       {},
       {"one member of deep_linear", "bytes of memory", "the budget on"}},

      // Starts
      {"SphereWithoutNorms",
       bad_input,
       {{start, "kind = \"sphere\""}},
       {},
       {"small.toml:14: init.norms is missing where init.kind = \"sphere\": expected a number >= "
        "0"}},
      {"SphereNormsOfAnotherCount",
       bad_input,
       {{start, "kind = \"sphere\"\nnorms = [1.0, 2.0, 3.0]"}},
       {},
       {"small.toml:16: init.norms: found 3 values, expected one, or one for each of the 2 "
        "layers"}},
      {"BallOfNegativeNorm",
       bad_input,
       {{start, "kind = \"ball\"\nnorms = [1.0, -2.0]"}},
       {},
       {"small.toml:16: init.norms: found -2.0 as element 2, expected a number >= 0"}},
      {"EndNormOfASphere",
       bad_input,
       {{"kind = \"orthogonal\"", "kind = \"sphere\"\nnorms = 1.0"}},
       {},
       {"small.toml:17: init.end_norm: belongs to init.kind = \"gaussian\""}},
      {"ScalingUnknown",
       bad_input,
       {{start, "kind = \"gaussian\"\nscaling = \"fan_out\""}},
       {},
       {"small.toml:16: init.scaling: found \"fan_out\", expected one of \"none\", \"fan_in\", "
        "\"he\", \"width\""}},
      {"GaussianWithoutScale",
       bad_input,
       {{start, "kind = \"gaussian\""}},
       {},
       {"small.toml:14: init.stddev: found nothing, expected one of init.stddev and "
        "init.end_norm"}},
      {"GaussianWithTwoScales",
       bad_input,
       {{start, "kind = \"gaussian\"\nstddev = 1.0\nend_norm = 1.0"}},
       {},
       {"small.toml:17: init.end_norm: found a value beside init.stddev, expected one of"}},
      {"RankOneWithoutNorm",
       bad_input,
       {{start, "kind = \"rank_one\""}},
       {},
       {"small.toml:14: init.end_norm: found nothing, expected ||W(0)||_F of a rank-one start"}},
      {"StartFileAbsent",
       bad_input,
       {{start, "kind = \"file\"\npath = \"absent.npy\""}},
       {},
       {"small.toml:16: init.path: ", "absent.npy: no such file\n"}},
      {"StartFileOfUnknownEnding",
       bad_input,
       {{start, "kind = \"file\"\npath = \"small.toml\""}},
       {},
       {"small.toml:16: init.path: ",
        "small.toml: found the ending \".toml\", expected a file that "
        "ends in .npy, .npz, .safetensors, .csv, .nc or .idx\n"}},
      {"StartFilesOfAnotherCount",
       bad_input,
       {{start, "kind = \"file\"\npath = [\"a.npy\", \"b.npy\", \"c.npy\"]"}},
       {},
       {"small.toml:16: init.path: found 3 files, expected one for each of the 2 layers 4x4 . "
        "4x4"}},
      {"StartRecordAbsent",
       bad_input,
       {{start, "kind = \"record\"\nrecord = \"results\"\nmember = 0"}},
       {},
       {"small.toml:16: init.record: ", "results: no such file\n"}},
      {"StartRecordWithoutMember",
       bad_input,
       {{start, "kind = \"record\"\nrecord = \"results\""}},
       {},
       {"small.toml:14: init.member is missing where init.kind = \"record\": expected an integer"}},
      {"StartMemberNegative",
       bad_input,
       {{start, "kind = \"record\"\nrecord = \"results\"\nmember = -1"}},
       {},
       {"small.toml:17: init.member: found -1, expected an integer >= 0"}},
      {"SampleOfAFile",
       bad_input,
       {{start, "kind = \"file\"\npath = \"a.npy\"\nsample = 1"}},
       {},
       {"small.toml:17: init.sample: belongs to init.kind = \"record\""}},
  };
}

class BadInputTest : public ::testing::TestWithParam<BadInput> {};

TEST_P(BadInputTest, IsRefusedAndNothingIsWritten) {
  const BadInput& bad = GetParam();
  const Scratch scratch;
  write_file(scratch / "small.toml", edited(bad.edits));
  const auto before = contents_of(scratch.path());
  Arguments arguments{"run", "small.toml", "--out", "out", "--quiet"};
  arguments.insert(arguments.end(), bad.flags.begin(), bad.flags.end());
  const Outcome outcome = run_program(scratch.path(), arguments);
  EXPECT_EQ(outcome.exit_code, bad.exit_code) << outcome;
  EXPECT_EQ(outcome.out, "");
  for (const std::string& part : bad.message) {
    EXPECT_TRUE(contains(outcome.err, part)) << "\"" << part << "\" is missing in: " << outcome.err;
  }
  EXPECT_FALSE(contains(outcome.err, "internal error")) << outcome.err;
  auto after = contents_of(scratch.path());
  after.erase("out");  // an empty folder is no harm
  EXPECT_EQ(changes(before, after), no_changes);
  // Refused before anything was allocated for members.
  EXPECT_LT(outcome.peak_bytes, std::int64_t{512} << 20);
}

INSTANTIATE_TEST_SUITE_P(Experiments, BadInputTest, ::testing::ValuesIn(experiments()),
                         [](const auto& one) { return std::string(one.param.name); });

struct BadFile {
  const char* name;
  const char* text;  ///< nullptr: there is no such file
  std::size_t size;
  std::vector<std::string> message;
};
void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.name; }

std::vector<BadFile> files() {
  return {
      {"Empty", "", 0, {"bad.toml: the file is empty, expected an experiment\n"}},
      {"Blank", " \n\n", 3, {"bad.toml: the file is empty, expected an experiment\n"}},
      {"OnlyAComment", "# x\n", 4, {"bad.toml: the file sets no key, expected an experiment\n"}},
      {"NulByte", "a\0b", 3, {"bad.toml:1: not a text file: found a NUL byte at offset 1"}},
      {"Binary",
       "\x89HDF\r\n\x1a\n",
       8,
       {"bad.toml:1: not a text file: found byte 0x89 at offset 0, expected UTF-8\n"}},
      {"NotToml", "once upon a time\n", 17, {"bad.toml:1:6: not TOML"}},
      {"Absent", nullptr, 0, {"bad.toml: no such file, expected an experiment file\n"}},
  };
}

class BadFileTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, IsRefusedByRunAndByInfo) {
  const BadFile& bad = GetParam();
  const Scratch scratch;
  if (bad.text != nullptr) write_file(scratch / "bad.toml", {bad.text, bad.size});
  const auto before = contents_of(scratch.path());
  for (const Arguments& arguments :
       {Arguments{"run", "bad.toml", "--out", "out"}, Arguments{"info", "bad.toml"}}) {
    const Outcome outcome = run_program(scratch.path(), arguments);
    EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
    for (const std::string& part : bad.message) {
      EXPECT_TRUE(contains(outcome.err, part))
          << "\"" << part << "\" is missing in: " << outcome.err;
    }
  }
  EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
}

INSTANTIATE_TEST_SUITE_P(Files, BadFileTest, ::testing::ValuesIn(files()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(BadFile, DirectoryInsteadOfAFile) {
  const Scratch scratch;
  fs::create_directory(scratch / "bad.toml");
  const Outcome outcome = run_program(scratch.path(), {"run", "bad.toml", "--out", "out"});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "bad.toml: found a directory, expected an experiment file\n"))
      << outcome;
  EXPECT_FALSE(fs::exists(scratch / "out"));
}

TEST(BadFile, EndlessFile) {
  const Scratch scratch;
  const Outcome outcome = run_program(scratch.path(), {"run", "/dev/zero", "--out", "out"});
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_TRUE(contains(outcome.err, "/dev/zero: found a file of more than 16 MiB")) << outcome;
}

/// Files of probes are looked at before anything is written, and errors name both shapes.
TEST(BadFile, OfAProbeWithAWrongShape) {
  const Scratch scratch;
  write_file(scratch / "small.csv", "1,2\n3,4\n");
  write_file(scratch / "zero.csv", "1,2,3,4\n0,0,0,0\n");
  write_file(scratch / "text.csv", "1,2\n3,four\n");
  for (const auto& [probe, message] :
       {std::pair{"distance = { file = \"small.csv\", every = 10 }",
                  "probes.distance.file: found an array of shape (2, 2), expected the shape of W, "
                  "4x4\n"},
        {"closest_index = { file = \"small.csv\", every = 10 }",
         "probes.closest_index.file: found an array of shape (2, 2), expected (count, 4, 4), "
         "matrices of the shape of W\n"},
        {"alignment = { of = \"file\", file = \"small.csv\", every = 10 }",
         "probes.alignment.file: found an array of shape (2, 2), expected (count, 4), directions "
         "among the rows of W\n"},
        {"alignment = { of = \"file\", file = \"zero.csv\", every = 10 }",
         "probes.alignment.file: found a direction of length 0, row 1, expected directions of any "
         "other length\n"},
        {"alignment = { of = \"file\", count = 3, file = \"zero.csv\", every = 10 }",
         "row 1, expected"},
        {"distance = { file = \"text.csv\", every = 10 }", "text.csv"}}) {
    write_file(scratch / "small.toml", edited({{"layer_norm2 = { every = 10 }", probe}}));
    const Outcome outcome =
        run_program(scratch.path(), {"run", "small.toml", "--out", "out", "--quiet"});
    EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
    EXPECT_TRUE(contains(outcome.err, std::string("small.toml:28: "))) << outcome;
    EXPECT_TRUE(contains(outcome.err, message))
        << "\"" << message << "\" is missing in: " << outcome.err;
    EXPECT_FALSE(fs::exists(scratch / "out/samples.log"));
  }
}

struct BadCommand {
  const char* name;
  Arguments arguments;
  std::vector<std::string> message;
};
void PrintTo(const BadCommand& bad, std::ostream* out) { *out << bad.name; }

std::vector<BadCommand> commands() {
  return {
      {"Nothing", {}, {"subcommand is required"}},
      {"UnknownSubcommand", {"frobnicate"}, {"frobnicate"}},
      {"FileMissing", {"run", "--out", "out"}, {"file is required"}},
      {"FlagMissingItsValue", {"run", "small.toml", "--out"}, {"--out"}},
      {"InfoWithUnknownFlag", {"info", "--frobnicate"}, {"--frobnicate"}},
      {"InfoWithABadFile",
       {"info", "small.toml", "--set", "model.dept=3"},
       {"did you mean model.depth?"}},
      {"UnknownBenchmark",
       {"bench", "frobnication"},
       {"bench: found \"frobnication\", expected one of factorization, resident, "
        "networks, spectra\n"}},
      {"BenchOfAnUnknownRow",
       {"bench", "resident", "--rows", "jumps-3,greedy-4"},
       {"--rows: found \"greedy-4\", expected some of greedy-2-full, greedy-2-masked, ",
        "jumps-3, mixed"}},
      {"BenchOfAnUnknownScale", {"bench", "resident", "--scale", "huge"}, {"--scale", "huge"}},
      {"BenchOfPeersWithOtherMembers",
       {"bench", "resident", "--peers", "--members", "8"},
       {"--members", "--peers"}},
      {"BenchWithoutMembers", {"bench", "factorization", "--members", "0"}, {"--members", "0"}},
      {"BenchWithoutRepeats", {"bench", "factorization", "--repeats", "0"}, {"--repeats", "0"}},
      {"BenchOfNegativeLength", {"bench", "factorization", "--seconds", "-1"}, {"--seconds", "-1"}},
      {"BenchOfNoLength", {"bench", "factorization", "--seconds", "nan"}, {"--seconds", "nan"}},
  };
}

class BadCommandTest : public ::testing::TestWithParam<BadCommand> {};

TEST_P(BadCommandTest, IsRefused) {
  const BadCommand& bad = GetParam();
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  const auto before = contents_of(scratch.path());
  const Outcome outcome = run_program(scratch.path(), bad.arguments);
  EXPECT_EQ(outcome.exit_code, bad_input) << outcome;
  EXPECT_EQ(outcome.out, "");
  for (const std::string& part : bad.message) {
    EXPECT_TRUE(contains(outcome.err, part)) << "\"" << part << "\" is missing in: " << outcome.err;
  }
  EXPECT_EQ(changes(before, contents_of(scratch.path())), no_changes);
}

INSTANTIATE_TEST_SUITE_P(Commands, BadCommandTest, ::testing::ValuesIn(commands()),
                         [](const auto& one) { return std::string(one.param.name); });

/// Whether `info` finds this device usable.
bool usable(const std::string& device) {
  const auto found = run_program(Launch{.arguments = {"info", "--json"}}).json();
  for (const auto& one : found.at("devices")) {
    if (one.at("device") == device) return one.at("usable").get<bool>();
  }
  return false;
}

TEST(MissingDevice, CudaSaysWhatIsMissing) {
  if (usable("cuda")) GTEST_SKIP() << "SKIPPED: this machine has a CUDA device";
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  for (const std::string device : {"cuda", "cuda:7"}) {
    const Outcome outcome = run_program(
        scratch.path(), {"run", "small.toml", "--out", "out", "--quiet", "--device", device});
    EXPECT_EQ(outcome.exit_code, no_resource) << outcome;
    EXPECT_TRUE(contains(outcome.err, "manyfold: no cuda device: ")) << outcome;
    EXPECT_FALSE(fs::exists(scratch / "out"));
  }
}

TEST(MissingDevice, NumberBeyondTheDevicesThereAre) {
  if (!usable("emulated")) {
    GTEST_SKIP()
        << "SKIPPED: no emulated device is beside the library, whose number could be wrong";
  }
  const Scratch scratch;
  write_file(scratch / "small.toml", small_experiment);
  const Outcome outcome = run_program(
      scratch.path(), {"run", "small.toml", "--out", "out", "--quiet", "--device", "emulated:99"});
  EXPECT_EQ(outcome.exit_code, no_resource) << outcome;
  EXPECT_TRUE(contains(outcome.err, "no device emulated:99")) << outcome;
  EXPECT_FALSE(fs::exists(scratch / "out"));
}

}  // namespace
}  // namespace manyfold::testing
