// What a network should make of its inputs. For the files of this folder.
#pragma once

#include <cstdint>

#include "core/config/settings.hpp"
#include "models/data/data_set.hpp"

namespace manyfold {

/// Targets of an example; `columns`: what the file of values has.
std::int64_t output_count(const Settings& settings, std::int64_t classes, std::int64_t columns);

/// Replaces some labels by drawn ones (data.random_labels).
void randomize_labels(const Settings& settings, DataSet& set);

/// Makes targets of labels, by draws, or by a teacher; values are there already. Throws InputError
/// where a map has another number of classes.
void add_targets(const Settings& settings, Data& data);

}  // namespace manyfold
