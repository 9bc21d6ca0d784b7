// Starts that are given, not drawn: from array files, and from another record.
#pragma once

#include <vector>

#include "core/config/settings.hpp"
#include "models/factorization/shape.hpp"

namespace manyfold::factorization {

/// The parameters that init.path names, as start.hpp lays them out. Throws InputError: what is
/// wrong with a file, a shape that is not the layer's, a number of files that is not that of the
/// layers, a number that is not finite.
std::vector<double> start_from_file(const Settings& settings, const Shape& shape);

/// The parameters of init.member at init.sample in the record init.record, bitwise as recorded: in
/// the group family_<k> that has the member, variables W_1, W_2, ... (member, sample, row, col), as
/// the probe `parameters` leaves them. Throws InputError: no record, none with parameters, no such
/// member or sample, layers of other shapes, a sample with numbers that are not finite.
std::vector<double> start_from_record(const Settings& settings, const Shape& shape);

}  // namespace manyfold::factorization
