// What members are compared with, on the host and in double precision: arrays from files,
// directions from the target and from the gradient at zero.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/data/array_file.hpp"
#include "models/factorization/probes.hpp"

namespace manyfold::factorization {

/// The keys `file` and `variable` of probes that read one.
KeySpec file_key(bool required);
KeySpec variable_key();

/// The array that the probe's keys `file` and `variable` name. A file that did not change is read
/// once: planning asks for every member. Rejects what cannot be read.
std::shared_ptr<const Array> reference_array(const ProbeSettings& probe);

/// `count` directions of length 1, (count, rows) row-major.
/// Left singular vectors of the member's target, decreasing singular values.
std::vector<double> target_directions(const Settings& member, std::int64_t count);
/// Eigenvectors of -grad f(0), decreasing eigenvalues; of a symmetric objective.
std::vector<double> gradient_directions(const Settings& member, std::int64_t count);

}  // namespace manyfold::factorization
