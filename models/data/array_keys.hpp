// Arrays that keys of an experiment name: NAME.path with NAME.variable and NAME.index beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/data/array_file.hpp"

namespace manyfold {

/// Adds `table`.path and `table`.variable under `when`; `what` completes the sentence "A .npy,
/// .csv, .nc or IDX file with ...".
void add_array_keys(Spec& spec, const std::string& table, const std::string& what,
                    const std::vector<Condition>& when, bool required = true);
/// Adds `table`.index, which picks one matrix of a file that has several.
void add_index_key(Spec& spec, const std::string& table, const std::vector<Condition>& when);

/// An array file, read once and (unless it is a large one) kept while it does not change on the
/// disk: a sweep asks for one file many times. Throws what `read_array` does.
std::shared_ptr<const Array> read_once(const std::string& path, const std::string& variable = "");

/// The array that `table`.path names, by `read_once`. Throws InputError that begins with the key's
/// place.
std::shared_ptr<const Array> array_of(const Settings& settings, const std::string& table);

/// The array in the file `path` that `key` names (or one of several that it names), likewise.
std::shared_ptr<const Array> array_named(const Settings& settings, const std::string& key,
                                         const std::string& path, const std::string& variable = "");

/// A matrix inside an array: the whole of one with two dimensions, or number `table`.index (counted
/// from 0) of one with three.
struct ArrayMatrix {
  std::shared_ptr<const Array> array;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const double* values = nullptr;  ///< row-major, in `array`
};
/// Throws InputError: another number of dimensions, an index where there are no several, none where
/// there are, one beyond the last.
ArrayMatrix matrix_of(const Settings& settings, const std::string& table);

}  // namespace manyfold
