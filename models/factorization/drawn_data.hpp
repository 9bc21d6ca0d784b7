// The problem and the start of a member as arrays, for other programs to read.
#pragma once

#include <vector>

#include "core/config/settings.hpp"
#include "models/training/model.hpp"

namespace manyfold::factorization {

/// What the objective has: `target` (rows, cols), of a linear one Q; `mask` (rows, cols) of a
/// completion, booleans; `measurements` (m, rows, cols) and `values` (m) of a sensing. Then
/// `start`, all parameters in one vector, W_1 first, each layer row by row, which init.kind =
/// "file" reads again; and the same layer by layer: `W_1`, `W_2`, ...
std::vector<DrawnArray> drawn_data(const Settings& settings);

}  // namespace manyfold::factorization
