// Bitwise equality of numbers.
#pragma once

#include <cstring>
#include <vector>

namespace manyfold::test {

/// NaN is equal to itself, 0 is not -0. Empty vectors have no data that memcmp might be given.
inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

}  // namespace manyfold::test
