// The optimizer and the probe that models/README.md shows: this program is built with them, so they
// are kinds like any other, and do what the page says.
#include <cmath>

#include "tests/models/run.hpp"

namespace manyfold::testing {
namespace {

using DocumentedOnDevice = OnDevice;

TEST_P(DocumentedOnDevice, NormalizedStepsHaveOneLength) {
  // One number w, moved toward a target m by exactly 1/8 a step, whatever the slope.
  const auto device = executor();
  const Results results = run(R"(
seed = 4
[model]
kind = "deep_linear"
sizes = [1, 1]
[objective]
kind = "full"
target = { kind = "gaussian", size = 1, norm = 40.0 }
[init]
kind = "gaussian"
stddev = 1e-3
[optimizer]
kind = "normalized_gd"
learning_rate = 0.125
[stop]
steps = 200
[probes]
end_norm = { every = 1 }
)",
                              *device);
  const double start = results.scalar("end_norm", 0, 0);
  for (std::int64_t k = 1; k <= 200; ++k) {
    // |w_0| is tiny: w runs away from zero, or through it in the first step.
    EXPECT_NEAR(results.scalar("end_norm", 0, k), 0.125 * static_cast<double>(k), 1.001 * start);
  }
  EXPECT_GT(start, 0.0);
}

TEST_P(DocumentedOnDevice, GramNormIsTheRootOfTheSumOfFourthPowers) {
  const auto device = executor();
  const Results results = run(R"(
seed = 4
[model]
kind = "deep_linear"
depth = 3
hidden = 5
[objective]
kind = "full"
target = { kind = "gaussian", rows = 6, cols = 4 }
[init]
kind = "gaussian"
stddev = 0.5
[optimizer]
kind = "gd"
learning_rate = 0.01
[stop]
steps = 20
[probes]
gram_norm = { every = 10, running = "max" }
singular_values = { every = 10 }
)",
                              *device);
  for (std::int64_t sample = 0; sample < 3; ++sample) {
    double sum = 0;
    for (const double s : results.at("singular_values", 0, sample)) sum += s * s * s * s;
    ASSERT_GT(sum, 0.0);
    EXPECT_NEAR(results.scalar("gram_norm", 0, sample), std::sqrt(sum), 1e-13 * std::sqrt(sum));
  }
  EXPECT_GE(results.scalar("max_gram_norm", 0), results.scalar("gram_norm", 0, 2));
}

MANYFOLD_ON_ALL_DEVICES(DocumentedOnDevice);

}  // namespace
}  // namespace manyfold::testing
