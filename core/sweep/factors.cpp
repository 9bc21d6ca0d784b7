// Turns the entries of [sweep] into factors: lists, ranges, spaces, zips.
#include "core/sweep/factors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "core/config/validate.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

[[noreturn]] void reject(const SweepItem& item, int line, std::string_view found,
                         std::string_view expected) {
  throw InputError(
      found_text(Location{item.source->name, line}.text(), sweep_text(item.path), found, expected));
}

struct Hash {
  std::size_t operator()(bool v) const { return std::hash<bool>()(v); }
  std::size_t operator()(std::int64_t v) const { return std::hash<std::int64_t>()(v); }
  std::size_t operator()(double v) const {
    return std::hash<std::uint64_t>()(std::bit_cast<std::uint64_t>(v));
  }
  std::size_t operator()(const std::string& v) const { return std::hash<std::string>()(v); }
  template <class T>
  std::size_t operator()(const std::vector<T>& v) const {
    std::size_t sum = v.size();
    for (const T& element : v) sum = sum * 1'000'003 + (*this)(element);
    return sum;
  }
};

/// Bounds the product of the factors while they are read, so that nothing absurd is allocated.
class MemberCount {
 public:
  void multiply(const SweepItem& item, int line, std::int64_t rows) {
    if (rows > max_members / count_) {
      const std::string found = rows > max_members
                                    ? fmt::format("more than {} values", max_members)
                                    : fmt::format("{} values times {} members", rows, count_);
      reject(item, line, found, fmt::format("at most {} members", max_members));
    }
    count_ *= rows;
  }

 private:
  std::int64_t count_ = 1;
};

bool is_number(const TomlNode& node) {
  return std::holds_alternative<std::int64_t>(node.content) ||
         std::holds_alternative<double>(node.content);
}

double number_of(const TomlNode& node) {
  if (const auto* integer = std::get_if<std::int64_t>(&node.content)) {
    return static_cast<double>(*integer);
  }
  return std::get<double>(node.content);
}

/// One entry of the sweep that varies one key.
class KeyFactor {
 public:
  KeyFactor(const SweepItem& item, MemberCount& count) : item_(item), count_(count) {
    factor_.source = item.source;
    column_.path = item.path;
    column_.key = item.key;
  }

  SweepFactor read() {
    const TomlNode& node = *item_.node;
    if (const TomlList* list = node.list()) {
      read_values(node, *list);
    } else if (const TomlTable* table = node.table()) {
      if (table->size() != 1) {
        std::vector<std::string> words;
        for (const TomlEntry& entry : *table) words.push_back(toml_key(entry.key));
        reject(item_, item_.line,
               words.empty() ? "an empty table" : fmt::format("{}", fmt::join(words, " and ")),
               fmt::format("one of {}", fmt::join(generator_words(), ", ")));
      }
      read_generator(table->front());
    } else {
      reject(
          item_, item_.line, describe(node),
          fmt::format("a list of values, or a table with {}", fmt::join(generator_words(), ", ")));
    }
    column_.values = std::move(index_.values());
    factor_.rows = static_cast<std::int64_t>(column_.of_row.size());
    factor_.columns.push_back(std::move(column_));
    return std::move(factor_);
  }

 private:
  void add(const Value& value) { column_.of_row.push_back(index_.find_or_add(value)); }

  void read_values(const TomlNode& node, const TomlList& list) {
    if (list.empty()) reject(item_, node.line, "[]", "at least one value");
    count_.multiply(item_, node.line, static_cast<std::int64_t>(list.size()));
    for (const TomlNode& element : list) {
      add(read_value(*item_.key, element, item_.path, *item_.source));
      column_.lines.push_back(element.line);
    }
  }

  void read_generator(const TomlEntry& entry) {
    const auto& words = generator_words();
    const int line = entry.line;
    if (std::find(words.begin(), words.end(), entry.key) == words.end()) {
      const auto nearest = nearest_word(entry.key, words);
      reject(item_, line, toml_key(entry.key),
             fmt::format("one of {}{}", fmt::join(words, ", "),
                         nearest ? fmt::format("; did you mean {}?", *nearest) : ""));
    }
    const TomlList* list = entry.node.list();
    if (entry.key == "values") {
      if (list == nullptr) {
        reject(item_, line, fmt::format("values = {}", describe(entry.node)), "a list of values");
      }
      read_values(entry.node, *list);
      return;
    }
    column_.lines = {line};
    if (entry.key == "range") {
      read_range(entry, list);
    } else {
      read_space(entry, list);
    }
  }

  void read_range(const TomlEntry& entry, const TomlList* list) {
    const int line = entry.line;
    const bool integers =
        list != nullptr && std::all_of(list->begin(), list->end(), [](const TomlNode& n) {
          return std::holds_alternative<std::int64_t>(n.content);
        });
    if (!integers || list->empty() || list->size() > 3) {
      reject(item_, line, fmt::format("range = {}", describe(entry.node)),
             "[stop], [start, stop] or [start, stop, step], all integers");
    }
    const auto at = [&](std::size_t i) { return std::get<std::int64_t>((*list)[i].content); };
    IntegerRange range;
    range.start = list->size() > 1 ? at(0) : 0;
    range.stop = list->size() > 1 ? at(1) : at(0);
    range.step = list->size() > 2 ? at(2) : 1;
    if (range.step == 0) reject(item_, line, "a step of 0", "a step up or down");
    // The span of two 64-bit integers needs more than 64 bits.
    __extension__ using Wide = __int128;
    const Wide span = Wide(range.stop) - Wide(range.start);
    const Wide step = range.step;
    const Wide count = (span + step - (step > 0 ? 1 : -1)) / step;
    if (count < 1 || (span > 0) != (step > 0) || span == 0) {
      reject(item_, line, fmt::format("range = {}, which is empty", describe(entry.node)),
             "at least one value (the stop is excluded)");
    }
    constexpr Wide too_many = max_members + 1;
    count_.multiply(item_, line, static_cast<std::int64_t>(std::min(count, too_many)));
    for (Wide i = 0; i < count; ++i) {
      const auto value = static_cast<std::int64_t>(range.start + i * step);
      // A range is an interval: its ends tell whether it is legal. Its integers are distinct.
      const bool end = i == 0 || i + 1 == count;
      if (end || !accepts(item_.key->type, Type::integer)) {
        add(checked(value, line));
      } else {
        column_.of_row.push_back(static_cast<std::int32_t>(i));
        index_.values().emplace_back(value);
      }
    }
    factor_.range = range;
  }

  Value checked(std::int64_t value, int line) const {
    return read_value(*item_.key, TomlNode{value, line}, item_.path, *item_.source);
  }

  void read_space(const TomlEntry& entry, const TomlList* list) {
    const int line = entry.line;
    const std::string& word = entry.key;
    if (!accepts(item_.key->type, Type::number)) {
      reject(item_, line, word, expected_text(*item_.key) + ": use values or range");
    }
    if (list == nullptr || list->size() != 3 || !is_number((*list)[0]) || !is_number((*list)[1]) ||
        !std::holds_alternative<std::int64_t>((*list)[2].content)) {
      reject(item_, line, fmt::format("{} = {}", word, describe(entry.node)),
             "[first, last, count]");
    }
    const double first = number_of((*list)[0]), last = number_of((*list)[1]);
    const std::int64_t count = std::get<std::int64_t>((*list)[2].content);
    if (count < 1) {
      reject(item_, line, fmt::format("{} of {} values", word, count), "at least one value");
    }
    if (!std::isfinite(first) || !std::isfinite(last)) {
      reject(item_, line, fmt::format("{} = {}", word, describe(entry.node)), "finite ends");
    }
    const bool geometric = word == "geomspace";
    if (geometric && (first == 0 || last == 0 || (first > 0) != (last > 0))) {
      reject(item_, line, fmt::format("{} = {}", word, describe(entry.node)),
             "ends of one sign, neither of them zero");
    }
    count_.multiply(item_, line, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = i == 0           ? first
                           : i + 1 == count ? last
                           : geometric      ? geometric_value(first, last, i, count)
                                            : linear_value(first, last, i, count);
      add(read_value(*item_.key, TomlNode{value, line}, item_.path, *item_.source));
    }
  }

  static double linear_value(double first, double last, std::int64_t i, std::int64_t count) {
    const double part = static_cast<double>(i) / static_cast<double>(count - 1);
    return first * (1 - part) + last * part;  // no overflow between huge ends of opposite sign
  }

  /// Through decimal logarithms, so that [1e-6, 1, 7] gives the decades as they are written.
  static double geometric_value(double first, double last, std::int64_t i, std::int64_t count) {
    const double part = static_cast<double>(i) / static_cast<double>(count - 1);
    const double low = std::log10(std::abs(first)), high = std::log10(std::abs(last));
    const double size = std::pow(10.0, low + (high - low) * part);
    return first < 0 ? -size : size;
  }

  const SweepItem& item_;
  MemberCount& count_;
  SweepFactor factor_;
  SweepColumn column_;
  ValueIndex index_;
};

/// One list of tables that go together.
SweepFactor read_zip(const SweepItem& item, const TomlNode& node, const Spec& spec,
                     MemberCount& count) {
  const TomlList& list = *node.list();
  SweepFactor factor;
  factor.source = item.source;
  factor.zip = true;
  factor.rows = static_cast<std::int64_t>(list.size());
  count.multiply(item, node.line, factor.rows);
  std::vector<ValueIndex> indices;
  std::map<std::string, std::size_t> numbers;
  for (std::size_t row = 0; row < list.size(); ++row) {
    factor.row_lines.push_back(list[row].line);
    for (SweepColumn& column : factor.columns) {
      column.of_row.push_back(-1);
      column.lines.push_back(list[row].line);
    }
    for (const SweepLeaf& leaf : sweep_leaves(*list[row].table(), *item.source, spec, false)) {
      const auto [number, is_new] = numbers.emplace(leaf.path, factor.columns.size());
      if (is_new) {
        factor.columns.push_back({leaf.path, leaf.key, {}, {}, {}});
        factor.columns.back().of_row.assign(row + 1, -1);
        factor.columns.back().lines = factor.row_lines;
        indices.emplace_back();
      }
      SweepColumn& column = factor.columns[number->second];
      column.of_row[row] = indices[number->second].find_or_add(
          read_value(*leaf.key, *leaf.node, leaf.path, *item.source));
      column.lines[row] = leaf.node->line;
    }
  }
  if (factor.columns.empty()) reject(item, node.line, "empty tables", "at least one key");
  for (std::size_t i = 0; i < indices.size(); ++i) {
    factor.columns[i].values = std::move(indices[i].values());
  }
  return factor;
}

std::vector<SweepFactor> read_zips(const SweepItem& item, const Spec& spec, MemberCount& count) {
  constexpr std::string_view expected = "a list of tables, or a list of such lists";
  const auto is_rows = [](const TomlNode& node) {
    const TomlList* list = node.list();
    return list != nullptr && !list->empty() &&
           std::all_of(list->begin(), list->end(),
                       [](const TomlNode& n) { return n.table() != nullptr; });
  };
  const TomlNode& node = *item.node;
  if (is_rows(node)) {
    std::vector<SweepFactor> factors;
    factors.push_back(read_zip(item, node, spec, count));
    return factors;
  }
  const TomlList* list = node.list();
  if (list == nullptr || list->empty()) reject(item, item.line, describe(node), expected);
  const bool tables = list->front().table() != nullptr;
  std::vector<SweepFactor> factors;
  for (const TomlNode& element : *list) {
    if (tables && element.table() != nullptr) continue;
    if (!is_rows(element)) reject(item, element.line, describe(element), expected);
    if (tables) reject(item, element.line, "a list beside tables", expected);
    factors.push_back(read_zip(item, element, spec, count));
  }
  return factors;
}

}  // namespace

std::int32_t ValueIndex::find_or_add(const Value& value) {
  const std::size_t key = std::visit(Hash{}, value);
  const auto [begin, end] = numbers_.equal_range(key);
  for (auto it = begin; it != end; ++it) {
    if (same_bits(values_[static_cast<std::size_t>(it->second)], value)) return it->second;
  }
  const auto number = static_cast<std::int32_t>(values_.size());
  values_.push_back(value);
  numbers_.emplace(key, number);
  return number;
}

std::vector<SweepFactor> read_factors(const std::vector<SweepItem>& items, const Spec& spec) {
  std::vector<SweepFactor> factors;
  MemberCount count;
  for (const SweepItem& item : items) {
    if (item.key == nullptr) {
      for (SweepFactor& factor : read_zips(item, spec, count)) factors.push_back(std::move(factor));
    } else {
      factors.push_back(KeyFactor(item, count).read());
    }
  }
  struct Place {
    std::string text;
    bool zip;
  };
  std::map<std::string_view, Place> places;
  for (const SweepFactor& factor : factors) {
    for (const SweepColumn& column : factor.columns) {
      std::int64_t row = 0;
      while (column.of_row[static_cast<std::size_t>(row)] < 0) ++row;
      const Place place{Location{factor.source->name, column.line(row)}.text(), factor.zip};
      const auto [first, is_new] = places.emplace(column.path, place);
      if (is_new) continue;
      throw InputError(
          fmt::format("{}: {}: varied twice, first in {}{}", place.text, sweep_text(column.path),
                      first->second.text,
                      first->second.zip && !place.zip ? " by sweep.zip; write that anew" : ""));
    }
  }
  return factors;
}

}  // namespace manyfold
