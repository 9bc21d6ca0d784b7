// A member's parameters out of a record.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/data/array_archive.hpp"
#include "core/data/netcdf_reader.hpp"

namespace manyfold::apps {

/// Arrays W_1, W_2, ... of a member, (row, col), as the probe `parameters` recorded them, at a
/// sample, or at the last one where they are finite. Throws InputError: a record without
/// parameters, no such member or sample, parameters that are not finite.
std::vector<NamedArray> recorded_parameters(const NetcdfReader& record, std::int64_t member,
                                            std::optional<std::int64_t> sample);

}  // namespace manyfold::apps
