// Sizes and names that follow from a record's layout. For the files of this folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/record/layout.hpp"

namespace manyfold {

/// `sample` or `sample_<name>`, and `step` or `step_<name>`.
std::string sample_dimension(const CadenceLayout& cadence);
std::string step_coordinate(const CadenceLayout& cadence);

/// The dimensions that the extents of a group's variables make (-1: of the root's), in order of
/// appearance: equal names are one, with the largest of their sizes.
std::vector<Extent> dimensions_beyond_samples(const RecordLayout& layout, int group = -1);

/// A variable in the record: (member, sample, extents...), or without sample.
struct VariableShape {
  std::int64_t members = 0;  ///< of the variable's group
  std::int64_t samples = 1;  ///< 1 as well for a variable without cadence
  std::vector<std::int64_t> extents;
  std::int64_t cell = 1;  ///< product of the extents; the largest int64 when none holds it
};
std::vector<VariableShape> shapes(const RecordLayout& layout);

}  // namespace manyfold
