// Singular values of resident members.
#pragma once

#include <cstdint>

#include "kernels/singular_values.hpp"

namespace manyfold::kernels::cpu {

/// Of the members in the wanted lanes (at most 16 lanes), whose operands stand element by element
/// `lanes` apart (lanes.hpp); none is shared. The same bits as in a batch.
template <class T>
void singular_values_in_lanes(const SingularValuesArgs<T>& args, const bool* wanted_lanes,
                              std::int64_t lanes);

}  // namespace manyfold::kernels::cpu
