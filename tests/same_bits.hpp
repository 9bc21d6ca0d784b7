// Bitwise equality of numbers.
#pragma once

#include <cstring>
#include <vector>

namespace manyfold::test {

/// NaN is equal to itself, 0 is not -0. Empty vectors have no data that memcmp might be given.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}
/// For lists in braces.
inline bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return same_bits<double>(a, b);
}

}  // namespace manyfold::test
