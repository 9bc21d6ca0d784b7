// Arrays that keys of an experiment name: NAME.path with NAME.variable and NAME.index beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/data/array_file.hpp"

namespace manyfold::factorization {

/// Adds `table`.path (required) and `table`.variable under `when`; `what` completes the sentence
/// "A .npy, .csv or .nc file with ...".
void add_array_keys(Spec& spec, const std::string& table, const std::string& what,
                    const std::vector<Condition>& when);
/// Adds `table`.index, which picks one matrix of a file that has several.
void add_index_key(Spec& spec, const std::string& table, const std::vector<Condition>& when);

/// The array that `table`.path names. Files are read once and kept while they do not change on the
/// disk: a sweep asks for one file many times. Throws InputError that begins with the key's place.
std::shared_ptr<const Array> array_of(const Settings& settings, const std::string& table);

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

}  // namespace manyfold::factorization
