// The entries of [sweep] as factors: lists of rows, whose product is the members. A factor varies
// one key, or, from `zip`, several keys that go together. Offshoots are a factor, too, the slowest:
// its first row sets nothing and stands for the members that begin by themselves.
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
  /// Of each row, where they differ; empty: the factor's.
  std::vector<const ConfigSource*> sources{};

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

  const ConfigSource& source_of(const SweepColumn& column, std::int64_t row) const {
    return column.sources.empty() ? *source : *column.sources[static_cast<std::size_t>(row)];
  }
  Location location(const SweepColumn& column, std::int64_t row) const {
    return {source_of(column, row).name, column.line(row)};
  }
};

/// A table [offshoots.NAME]: one offshoot of every member of the product at each of its steps.
struct Offshoot {
  std::string name;
  Location place;                     ///< of `at`
  std::vector<std::int64_t> at;       ///< distinct
  std::optional<std::int64_t> steps;  ///< after the branch; without: up to the parent's last
};

struct OffshootRow {
  std::int32_t offshoot = -1;  ///< index into the tables; -1: the product
  std::int64_t step = 0;
};

/// The factor has no rows where there are no offshoots, else the product's and one for each table
/// and step. `steps` is the column `stop.steps` there.
struct Offshoots {
  SweepFactor factor;
  std::vector<Offshoot> tables;
  std::vector<OffshootRow> rows;
};
inline constexpr const char* last_step_key = "stop.steps";

/// `product`: the number of members beside which the offshoots stand. Throws InputError like
/// read_factors.
Offshoots read_offshoots(const std::vector<OffshootItem>& items, std::int64_t product);

/// Throws InputError: entries that are malformed or empty, values out of range, a key varied twice,
/// more than `max_members` members.
std::vector<SweepFactor> read_factors(const std::vector<SweepItem>& items, const Spec& spec);

}  // namespace manyfold
