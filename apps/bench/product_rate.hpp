// The rate of a large matrix product: what the products of networks are measured beside.
#pragma once

#include "core/executor/executor.hpp"

namespace manyfold::apps {

/// Operations per second of a product with long sides, the best of several ways to make one: our
/// own batched product, and on a CPU the BLAS with threads of its own. Each is timed for `seconds`.
template <class T>
double product_rate(Executor& executor, double seconds);

}  // namespace manyfold::apps
