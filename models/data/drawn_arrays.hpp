// A data set as arrays, for other programs to read.
#pragma once

#include <vector>

#include "models/data/data_set.hpp"
#include "models/training/model.hpp"

namespace manyfold {

/// `inputs` (example, shape...), `targets` (example, outputs) and, of classes, `labels` (example);
/// then test_inputs, test_targets, test_labels where there are examples to test on.
std::vector<DrawnArray> drawn_arrays(Data data);

}  // namespace manyfold
