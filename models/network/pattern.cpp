// Reads patterns of weights.
#include "models/network/pattern.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "models/data/array_keys.hpp"
#include "models/data/recent.hpp"

namespace manyfold::network {
namespace {

constexpr const char* key = "model.patterns";
constexpr const char* numbering =
    "whole numbers: 0 where an entry is 0, k where it is parameter k, counted from 1";

/// The numbers of a file, checked one by one.
std::vector<std::int32_t> numbers_of(const Settings& settings, const std::string& file,
                                     const Array& array) {
  std::vector<std::int32_t> numbers(array.values.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double x = array.values[i];
    if (!(x >= 0 && x == std::floor(x) && x <= std::numeric_limits<std::int32_t>::max() - 1)) {
      const auto cols = static_cast<std::size_t>(array.shape[1]);
      settings.reject(key,
                      fmt::format("{} with {} in row {}, column {} (counted from 0)", file, x,
                                  i / cols, i % cols),
                      numbering);
    }
    numbers[i] = static_cast<std::int32_t>(x);
  }
  return numbers;
}

/// FNV-1a, 64 bits, number by number.
std::uint64_t hash_of(const std::vector<std::int32_t>& numbers) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::int32_t k : numbers) {
    hash = (hash ^ static_cast<std::uint32_t>(k)) * 0x100000001b3U;
  }
  return hash;
}

/// Lists the places of every parameter, by counting.
void list_places(Pattern& pattern) {
  for (const std::int32_t k : pattern.numbers) {
    if (k > 0) ++pattern.begins[static_cast<std::size_t>(k)];
  }
  for (std::size_t k = 1; k < pattern.begins.size(); ++k) {
    pattern.begins[k] += pattern.begins[k - 1];
  }
  pattern.places.resize(static_cast<std::size_t>(pattern.begins.back()));
  std::vector<std::int32_t> next = pattern.begins;
  for (std::size_t i = 0; i < pattern.numbers.size(); ++i) {
    const std::int32_t k = pattern.numbers[i];
    if (k == 0) continue;
    std::int32_t& at = next[static_cast<std::size_t>(k - 1)];
    pattern.places[static_cast<std::size_t>(at++)] = static_cast<std::int32_t>(i);
  }
}

Pattern made(const Settings& settings, const std::string& file) {
  const std::shared_ptr<const Array> array = array_named(settings, key, file);
  const std::string found = fmt::format("{} with an array of shape {}", file, array->shape_text());
  if (array->shape.size() != 2) settings.reject(key, found, "a matrix of the layer's shape");
  if (array->values.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    settings.reject(key, found, "fewer than 2^31 entries");
  }
  if (array->type == "b1") settings.reject(key, fmt::format("{} with booleans", file), numbering);
  Pattern pattern;
  pattern.rows = array->shape[0];
  pattern.cols = array->shape[1];
  pattern.numbers = numbers_of(settings, file, *array);
  const auto most = std::max_element(pattern.numbers.begin(), pattern.numbers.end());
  pattern.parameters = most == pattern.numbers.end() ? 0 : *most;
  if (pattern.parameters == 0) {
    settings.reject(key, fmt::format("{} without a parameter", file),
                    "an entry above 0: the numbers of free parameters count from 1");
  }
  // No more numbers than entries can all occur, which bounds the memory that one wrong entry asks.
  const auto count = static_cast<std::int64_t>(
      std::min<std::size_t>(pattern.numbers.size() + 1, static_cast<std::size_t>(*most)));
  std::vector<bool> occurs(static_cast<std::size_t>(count) + 1, false);
  for (const std::int32_t k : pattern.numbers) {
    if (k <= count) occurs[static_cast<std::size_t>(k)] = true;
  }
  const auto missing = std::find(occurs.begin() + 1, occurs.end(), false);
  if (missing != occurs.end()) {
    settings.reject(key,
                    fmt::format("{} with numbers up to {}, but no {}", file, pattern.parameters,
                                missing - occurs.begin()),
                    "each number from 1 on: they count the free parameters");
  }
  pattern.begins.assign(static_cast<std::size_t>(pattern.parameters) + 1, 0);
  list_places(pattern);
  pattern.hash = hash_of(pattern.numbers);
  for (auto row = pattern.numbers.begin(); row != pattern.numbers.end(); row += pattern.cols) {
    const auto zeros = std::count(row, row + pattern.cols, 0);
    pattern.fan_in = std::max<std::int64_t>(pattern.fan_in, pattern.cols - zeros);
  }
  return pattern;
}

}  // namespace

std::string Pattern::text() const {
  return fmt::format("{} parameters in {}x{}, {:016x}", parameters, rows, cols, hash);
}

void add_pattern_keys(Spec& spec, std::vector<Condition> when) {
  spec.add({.path = key,
            .type = Type::text | Type::texts,
            .doc = "Files of the layers with the word pattern, from the input, or one for all: "
                   "W[i,j] = v[g(i,j)], or 0 where g is 0. A .npy, .csv, .nc or IDX file with g, "
                   "(OUT, IN), whole numbers of which each from 1 to the largest occurs. The layer "
                   "trains v: starts, files, records and probes have v, (1, K), in place of W_h. "
                   "Its fan in is the most entries of a row that are not 0.",
            .when = std::move(when),
            .is_path = true});
}

std::vector<std::string> pattern_files(const Settings& settings, const std::vector<Layer>& layers) {
  const auto wanted = static_cast<std::size_t>(
      std::count_if(layers.begin(), layers.end(), [](const Layer& l) { return l.pattern; }));
  if (!settings.has(key)) {
    if (wanted == 0) return {};
    settings.reject(key, "nothing",
                    fmt::format("a file for each layer with a pattern, of which there {} {}",
                                wanted == 1 ? "is" : "are", wanted));
  }
  std::vector<std::string> files = settings.texts(key);
  if (wanted == 0) {
    settings.reject(key, "a value where no layer has a pattern",
                    "the word pattern after a dense layer: \"dense OUT pattern\"");
  }
  if (files.size() == 1) files.assign(wanted, files.front());
  if (files.size() != wanted) {
    settings.reject(key, fmt::format("{} files", files.size()),
                    fmt::format("{}, one for each layer with a pattern (or one for all)", wanted));
  }
  return files;
}

std::shared_ptr<const Pattern> read_pattern(const Settings& settings, const std::string& file) {
  static std::mutex mutex;
  static Recent<Pattern> recent;
  const std::lock_guard lock(mutex);
  return recent.get(identity_of(file),
                    [&] { return std::make_shared<const Pattern>(made(settings, file)); });
}

}  // namespace manyfold::network
