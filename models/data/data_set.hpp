// What networks are trained on: inputs, and what a network should make of them. Drawn or loaded on
// the host, in double precision, once for all members that share it (keys `data.*`).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"

namespace manyfold {

struct DataSet {
  /// Of one input: {d}, {channels, length} or {channels, height, width}.
  std::vector<std::int64_t> shape;
  std::int64_t outputs = 0;          ///< targets of an example
  std::int64_t classes = 0;          ///< 0 where there are no labels
  std::vector<double> inputs;        ///< (example, shape...), row-major
  std::vector<double> targets;       ///< (example, outputs)
  std::vector<std::int32_t> labels;  ///< class of each example, from 0; empty where there are none

  std::int64_t count() const;  ///< examples
  std::int64_t size() const;   ///< numbers of one input
};

struct Data {
  DataSet train;
  DataSet test;  ///< has the same shape and outputs; may have no example
};

/// Sizes of a member's data.
struct DataShape {
  std::vector<std::int64_t> input;  ///< DataSet::shape
  std::int64_t outputs = 0;
  std::int64_t classes = 0;
  std::int64_t train = 0;  ///< examples
  std::int64_t test = 0;
};

/// Keys data.*, legal under `when`. They read problem.seed, too, which is not added here.
void add_data_keys(Spec& spec, const std::vector<Condition>& when = {});

/// What keys alone show: a key that others need, or that contradicts them. Throws InputError.
void validate_data(const Settings& settings);

/// Without drawing, and for files without reading them again while they do not change. `settings`
/// are valid. Throws what `make_data` does about files, classes and counts.
DataShape data_shape(const Settings& settings);

/// Draws or loads the data of a member: a pure function of problem.seed, the keys data.* and the
/// files they name. `settings` are valid. Draws have the same bits on every machine; those of a
/// source that is drawn (sphere, gaussian) do not depend on how many examples are asked for: more
/// of them begin with the same. Throws InputError: a file that is missing, damaged or of another
/// format, counts of inputs and labels that differ, fewer examples than asked for, a class that is
/// absent, a label that is no whole number, an input that is not finite, or zero where it is
/// divided by its norm.
Data make_data(const Settings& settings);

/// problem.seed and the keys data.* as one text: members with equal keys share their data.
std::string data_key(const Settings& settings);

}  // namespace manyfold
