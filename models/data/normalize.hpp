// data.normalize. For the files of this folder.
#pragma once

#include <span>

#include "core/config/settings.hpp"
#include "models/data/data_set.hpp"

namespace manyfold {

/// x / ||x||, the squares summed in their order; false, and nothing done, where x is zero.
bool to_unit_norm(std::span<double> x);

/// What becomes of inputs, in place; those of the test set are shifted and scaled by what the
/// training set has. Throws InputError where an input is zero and should have norm 1.
void normalize(const Settings& settings, Data& data);

}  // namespace manyfold
