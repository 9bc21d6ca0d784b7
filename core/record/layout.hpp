// What a record holds, before anything is in it: dimensions, cadences, variables, coordinates and
// attributes. The sample log carries it in its first block, so that the log alone is enough to make
// the record, to watch a run, or to go on with it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/config/value.hpp"

namespace manyfold {

/// A sample dimension: `sample` with coordinate `step` for the first cadence of an experiment,
/// `sample_<name>` with `step_<name>` for the others.
struct CadenceLayout {
  std::string name{};                 ///< empty for the first
  std::vector<std::int64_t> steps{};  ///< ascending, steps.front() == 0
};

/// A dimension beyond (member[, sample]): "index" of singular values, "layer", ...
struct Extent {
  std::string name;
  std::int64_t size = 0;  ///< the largest over all families; smaller ones are padded with NaN
  std::int64_t first =
      0;  ///< label of the first element in the dimension's coordinate: 1 for layers
};

/// `i64` values are sampled as doubles (exact up to 2^53); NaN means "not set". `text` variables
/// have one value per member: no cadence, no extents.
enum class StoredType { f64, i64, text };

struct VariableLayout {
  std::string name;
  StoredType type = StoredType::f64;
  int cadence = -1;  ///< index into cadences; -1: one value per member
  std::vector<Extent>
      extents{};            ///< equal names are one dimension, as large as the largest of them
  std::string units = "1";  ///< as UDUNITS writes it
  std::string long_name{};
  std::string comment{};  ///< formula and source
  int group = -1;         ///< index into groups; -1: the root, with all members
};

/// A group of the record, "family_0": variables of some of the members, with extents of its own.
/// Its `member` coordinate holds their numbers; the cadences are the root's.
struct GroupLayout {
  std::string name;
  std::string long_name{};
  std::vector<std::int64_t> members{};  ///< ascending
};

/// A coordinate along `member`: a swept key.
struct CoordinateLayout {
  std::string name;  ///< dots of the key become underscores: init_end_norm
  std::string units = "1";
  std::string long_name{};  ///< the key as written, and its doc
  /// Per member: all integers, all numbers, or all texts (lists and mixed kinds are given as
  /// texts).
  std::variant<std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>> values{};
};

using Attribute = std::variant<std::int64_t, double, std::string>;

struct RecordLayout {
  std::int64_t members = 0;
  std::vector<CadenceLayout> cadences{};
  std::vector<VariableLayout> variables{};
  std::vector<GroupLayout> groups{};
  std::vector<CoordinateLayout> coordinates{};
  std::vector<std::pair<std::string, Attribute>> attributes{};  ///< known at the start

  /// Size of the record in bytes, uncompressed (8 bytes a number, 32 a text): for the plan. The
  /// largest int64 when it does not fit one.
  std::int64_t bytes() const;

  /// Throws std::invalid_argument that names the first thing no record can hold:
  /// - a name that is empty, taken twice, or has blanks, '/' or control characters (`member`,
  ///   `status`, `end_step`, `end_reason`, the dimensions and their `step`s are taken);
  /// - a cadence whose steps do not ascend from 0;
  /// - coordinates that do not have one value per member;
  /// - an extent twice in one variable, or with two labels for its first element;
  /// - a group that is not there, or whose members do not ascend or are none of the record's;
  /// - units that xarray would decode as a time span ("seconds"; write "s");
  /// - sizes whose product no int64 holds.
  void check() const;
};

}  // namespace manyfold
