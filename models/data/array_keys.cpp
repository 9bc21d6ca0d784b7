// Reads files that keys name, each once.
#include "models/data/array_keys.hpp"

#include <cstddef>
#include <mutex>

#include "core/error.hpp"
#include "models/data/recent.hpp"

namespace manyfold {

void add_array_keys(Spec& spec, const std::string& table, const std::string& what,
                    const std::vector<Condition>& when, bool required) {
  spec.add({.path = table + ".path",
            .type = Type::text,
            .doc = "A .npy, .csv, .nc or IDX file with " + what + ".",
            .required = required,
            .when = when,
            .is_path = true});
  spec.add({.path = table + ".variable",
            .type = Type::text,
            .doc = "The variable of a .nc file; needed where the file has several.",
            .when = when});
}

void add_index_key(Spec& spec, const std::string& table, const std::vector<Condition>& when) {
  spec.add({.path = table + ".index",
            .type = Type::integer,
            .doc = "Which matrix of an array with three dimensions, counted from 0.",
            .min = 0,
            .when = when});
}

std::shared_ptr<const Array> read_once(const std::string& path, const std::string& variable) {
  // Larger arrays (128 MiB) are read anew: what is made of them would take their memory again.
  constexpr std::size_t most_kept = std::size_t{1} << 24;
  static std::mutex mutex;
  static Recent<Array> recent;
  const std::lock_guard lock(mutex);
  const std::string key = identity_of(path) + variable;
  if (auto kept = recent.find(key)) return kept;
  auto array = std::make_shared<const Array>(read_array(path, variable));
  if (array->values.size() <= most_kept) recent.keep(key, array);
  return array;
}

std::shared_ptr<const Array> array_of(const Settings& settings, const std::string& table) {
  const std::string path = table + ".path";
  const std::string variable = table + ".variable";
  return array_named(settings, path, settings.text(path),
                     settings.has(variable) ? settings.text(variable) : std::string());
}

std::shared_ptr<const Array> array_named(const Settings& settings, const std::string& key,
                                         const std::string& path, const std::string& variable) {
  try {
    return read_once(path, variable);
  } catch (const InputError& error) {
    throw InputError(settings.location(key).text() + ": " + key + ": " + error.what());
  }
}

ArrayMatrix matrix_of(const Settings& settings, const std::string& table) {
  auto array = array_of(settings, table);
  const std::string index = table + ".index";
  const bool indexed = settings.has(index);
  const std::size_t dimensions = array->shape.size();
  const std::string found = "an array of shape " + array->shape_text();
  if (dimensions == 2 && indexed) {
    settings.reject(index, std::to_string(settings.integer(index)) + " for " + found,
                    "no index: the file holds one matrix");
  }
  if (dimensions == 3 && !indexed) {
    settings.reject(
        index, "nothing for " + found,
        "which of the " + std::to_string(array->shape[0]) + " matrices, counted from 0");
  }
  if (dimensions != 2 && dimensions != 3) {
    settings.reject(table + ".path", found,
                    "a matrix, or three dimensions and " + index + " to pick one");
  }
  const std::int64_t rows = array->shape[dimensions - 2];
  const std::int64_t cols = array->shape[dimensions - 1];
  if (rows < 1 || cols < 1) {
    settings.reject(table + ".path", found, "at least one row and one column");
  }
  std::int64_t number = 0;
  if (indexed) {
    number = settings.integer(index);
    if (number >= array->shape[0]) {
      settings.reject(index, std::to_string(number) + " for " + found,
                      "at most " + std::to_string(array->shape[0] - 1));
    }
  }
  const double* values = array->values.data() + number * rows * cols;
  return {std::move(array), rows, cols, values};
}

}  // namespace manyfold
