// What a network learns: its data and its loss.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "kernels/examples.hpp"
#include "models/data/data_set.hpp"
#include "models/network/description.hpp"

namespace manyfold::network {

void add_problem_keys(Spec& spec);

/// What memory and kernels depend on.
struct DataSize {
  Shape input;
  std::int64_t outputs = 0;
  std::int64_t train = 0;  ///< examples
  std::int64_t test = 0;
  std::int64_t classes = 0;  ///< 0: the examples have no labels
  bool targets = true;       ///< whether the loss, or a probe without labels, reads the targets
};

DataSize data_size(const Settings& settings);
/// The data of a member; those asked for last are kept, as neighbours mostly share theirs. Throws
/// InputError.
std::shared_ptr<const Data> data_of(const Settings& settings);
/// Members with equal keys have the same data.
std::string problem_key(const Settings& settings);
/// Rejects a loss that asks for labels or targets which the data do not have. Throws InputError.
void validate_problem(const Settings& settings);
/// Makes the data to see that they can be made. Throws InputError.
void check_problem(const Settings& settings);

/// The layers of a member's network, fitted to its data. Throws InputError.
Description description_of(const Settings& settings);

kernels::Loss loss_of(const Settings& settings);
/// What each example's loss is multiplied by: 1, or 1/n.
double term_weight(const Settings& settings, std::int64_t examples);
/// "squared", "cross_entropy, mean".
std::string objective_text(const Settings& settings);

}  // namespace manyfold::network
