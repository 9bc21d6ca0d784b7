// What the keys data.* say of a data set. For the files of this folder.
#pragma once

#include <string>

#include "core/config/settings.hpp"

namespace manyfold {

/// Whether inputs are drawn, not given.
bool is_drawn(const Settings& settings);
/// Whether each example is of a class, which its target follows from.
bool has_classes(const Settings& settings);
/// Whether labels are looked at: for targets, or to keep some classes.
bool uses_labels(const Settings& settings);

/// All keys but problem.seed, and the files that they name as they are now, as one text.
std::string data_files_key(const Settings& settings);

}  // namespace manyfold
