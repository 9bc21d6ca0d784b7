// Initial weights of a network.
#pragma once

#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "models/network/description.hpp"

namespace manyfold::network {

void add_start_keys(Spec& spec);
/// Rejects starts that the layers do not allow. Throws InputError.
void validate_start(const Settings& settings, const Description& description);

struct Start {
  std::vector<double> parameters;  ///< W_1, b_1, W_2, ... as Description places them
  std::vector<double> frozen;
};
/// A pure function of init.seed and the keys of [init], or what its file or record gives
/// (models/training/given_start.hpp). Drawn, entry i of W_h (of a pattern parameter i of v) is draw
/// i of its stream, times the layer's deviation; of a layer of signs, the sign of that draw; biases
/// are 0. Frozen weights that a file does not give are drawn, too, those that are no signs with
/// deviation 1. In double precision.
Start start(const Settings& settings, const Description& description);

}  // namespace manyfold::network
