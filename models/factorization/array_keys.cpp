// Reads files that keys name, each once.
#include "models/factorization/array_keys.hpp"

#include <filesystem>
#include <list>
#include <mutex>
#include <system_error>

#include "core/error.hpp"

namespace manyfold::factorization {
namespace {

/// One file as it was when it was read.
struct Kept {
  std::string path;
  std::string variable;
  std::filesystem::file_time_type time;
  std::uintmax_t bytes = 0;
  std::shared_ptr<const Array> array;
};

/// The files asked for last, the latest first. A few suffice: an experiment names at most one for
/// each of target, mask, measurements and values, times what it sweeps.
constexpr std::size_t most_kept = 8;

std::shared_ptr<const Array> read_once(const std::string& path, const std::string& variable) {
  static std::mutex mutex;
  static std::list<Kept> kept;
  const std::lock_guard lock(mutex);
  std::error_code missing;  // read_array says what is wrong with a file that is not there
  const auto time = std::filesystem::last_write_time(path, missing);
  const auto bytes = missing ? 0 : std::filesystem::file_size(path, missing);
  for (auto one = kept.begin(); one != kept.end(); ++one) {
    if (one->path != path || one->variable != variable) continue;
    if (missing || one->time != time || one->bytes != bytes) {
      kept.erase(one);
      break;
    }
    kept.splice(kept.begin(), kept, one);
    return kept.front().array;
  }
  auto array = std::make_shared<const Array>(read_array(path, variable));
  kept.push_front({path, variable, time, bytes, array});
  if (kept.size() > most_kept) kept.pop_back();
  return array;
}

}  // namespace

void add_array_keys(Spec& spec, const std::string& table, const std::string& what,
                    const std::vector<Condition>& when) {
  spec.add({.path = table + ".path",
            .type = Type::text,
            .doc = "A .npy, .csv or .nc file with " + what + ".",
            .required = true,
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

std::shared_ptr<const Array> array_of(const Settings& settings, const std::string& table) {
  const std::string path = table + ".path";
  const std::string variable = table + ".variable";
  try {
    return read_once(settings.text(path),
                     settings.has(variable) ? settings.text(variable) : std::string());
  } catch (const InputError& error) {
    throw InputError(settings.location(path).text() + ": " + path + ": " + error.what());
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

}  // namespace manyfold::factorization
