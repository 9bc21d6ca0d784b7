// The kernels that a member's network has in the limit of infinite width
// (models/gram/infinite_width.hpp), from its settings and data.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "models/gram/infinite_width.hpp"
#include "models/network/description.hpp"
#include "models/network/objective.hpp"

namespace manyfold::network {

/// Why a network has no such limit here ("a cnn", "biases"), and what has one; empty where it has
/// one.
struct NoLimit {
  std::string found;
  std::string expected;
};
NoLimit why_no_limit(const Settings& settings, const Description& description);

/// Of the first examples of a set. `tangent` is what the sum of Gram matrices goes to, `last_layer`
/// the matrix of the last hidden layer, `nngp` that of the output layer; of a two_layer_relu
/// `tangent` and `last_layer` are Hinf, and there is no nngp. Those asked for last are kept.
std::shared_ptr<const gram::InfiniteWidthKernels> limit_kernels(const Settings& settings,
                                                                const Description& description,
                                                                Set set, std::int64_t examples);

/// b^(h)_i at every place, (layer 1..H, example, place): what sqrt(m) times the mean of layer h's
/// outputs goes to.
std::vector<double> limit_layer_means(const Settings& settings, const Description& description,
                                      Set set, std::int64_t examples);

}  // namespace manyfold::network
