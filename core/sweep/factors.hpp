// The entries of [sweep] as factors: lists of rows, whose product is the members. A factor varies
// one key, or, from `zip`, several keys that go together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/sweep/source.hpp"

namespace manyfold {

constexpr std::int64_t max_members = 100'000'000;

/// Distinct values (by type and bits) under numbers in order of first appearance.
class ValueIndex {
 public:
  std::int32_t find_or_add(const Value& value);
  std::vector<Value>& values() { return values_; }

 private:
  std::vector<Value> values_;
  std::unordered_multimap<std::size_t, std::int32_t> numbers_;  ///< by hash
};

/// What one key does over the rows of its factor.
struct SweepColumn {
  std::string path;
  const KeySpec* key = nullptr;
  std::vector<Value> values;         ///< distinct
  std::vector<std::int32_t> of_row;  ///< index into `values`; -1: the row leaves the key out
  std::vector<int> lines;            ///< of each row, or one for all rows

  int line(std::int64_t row) const {
    return lines.size() == 1 ? lines.front() : lines[static_cast<std::size_t>(row)];
  }
};

struct IntegerRange {
  std::int64_t start = 0, stop = 0, step = 1;
};

struct SweepFactor {
  const ConfigSource* source = nullptr;
  bool zip = false;
  std::optional<IntegerRange> range;  ///< as written, for writing it again
  std::int64_t rows = 0;
  std::vector<SweepColumn> columns;
  std::vector<int> row_lines;  ///< zip only
};

/// Throws InputError: entries that are malformed or empty, values out of range, a key varied twice,
/// more than `max_members` members.
std::vector<SweepFactor> read_factors(const std::vector<SweepItem>& items, const Spec& spec);

}  // namespace manyfold
