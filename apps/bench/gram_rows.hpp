// Rows of `manyfold bench spectra` that make kernel matrices.
#pragma once

#include <vector>

#include "apps/bench/bench.hpp"

namespace manyfold::apps {

/// S S^T of the 0/1 patterns of activations, from the activations in memory to the counts; beside
/// the BLAS's ssyrk of S as 0/1 floats. apps/bench/peers/workloads/pattern_gram.py
std::vector<BenchRow> pattern_gram(Executor& executor, const BenchFlags& flags);

/// The tangent kernel of a fully connected net at its start, in both precisions; with the memory
/// that it takes. apps/bench/peers/workloads/tangent_kernel.py
std::vector<BenchRow> tangent_kernel(Executor& executor, const BenchFlags& flags);

}  // namespace manyfold::apps
