// Turns the entries of [sweep] into factors: lists, ranges, spaces, zips.
#include "core/sweep/factors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <set>

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
  /// `others`: members that each of those counted comes with.
  explicit MemberCount(std::int64_t others = 1) : count_(others) {}

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
  std::int64_t count_;
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
        factor.columns.push_back({leaf.path, leaf.key, {}, {}, {}, {}});
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

namespace {

/// The steps of one table, rounded where they come from a space, each once.
std::vector<std::int64_t> read_at(const OffshootItem& item, std::int64_t product) {
  static const KeySpec key{
      .path = "offshoots.*.at", .type = Type::integer | Type::number, .min = 0, .max = 1e15};
  MemberCount count(product);
  const SweepFactor factor =
      KeyFactor({item.label(), &key, item.node, item.source, item.line}, count).read();
  const SweepColumn& column = factor.columns.front();
  const TomlTable* table = item.node->table();
  const bool space = table != nullptr && table->front().key.ends_with("space");
  std::vector<std::int64_t> steps;
  std::set<std::int64_t> known;
  for (std::size_t row = 0; row < column.of_row.size(); ++row) {
    const Value& value = column.values[static_cast<std::size_t>(column.of_row[row])];
    const auto* number = std::get_if<double>(&value);
    if (number != nullptr && !space) {
      throw InputError(found_text(
          Location{item.source->name, column.line(static_cast<std::int64_t>(row))}.text(),
          item.label(), to_toml(value), "integers >= 0"));
    }
    const std::int64_t step =
        number != nullptr ? std::llround(*number) : std::get<std::int64_t>(value);
    if (known.insert(step).second) steps.push_back(step);
  }
  return steps;
}

std::int64_t read_steps(const OffshootItem& item) {
  static const KeySpec key{
      .path = "offshoots.*.steps", .type = Type::integer, .min = 1, .max = 1e15};
  return std::get<std::int64_t>(validated(key, *item.node, item.label(), item.source->name));
}

/// The rows of one table, in all columns.
class OffshootRows {
 public:
  OffshootRows(Offshoots& all, std::int64_t product) : all_(all), product_(product) {}

  void add(const std::vector<const OffshootItem*>& items) {
    const auto find = [&](std::string_view path) -> const OffshootItem* {
      const auto it = std::find_if(items.begin(), items.end(),
                                   [&](const OffshootItem* item) { return item->path == path; });
      return it == items.end() ? nullptr : *it;
    };
    const OffshootItem* at = find("at");
    const OffshootItem* steps = find("steps");
    const OffshootItem* last = find(last_step_key);
    const OffshootItem& any = *items.front();
    if (at == nullptr) {
      throw InputError(
          fmt::format("{}: offshoots.{}.at is missing: expected the steps at which to "
                      "branch off",
                      any.location().text(), toml_key(any.offshoot)));
    }
    if (steps != nullptr && last != nullptr) {
      throw InputError(found_text(last->location().text(), last->label(), "a value beside steps",
                                  "one of the two"));
    }
    Offshoot offshoot{any.offshoot, at->location(), read_at(*at, product_), std::nullopt};
    if (steps != nullptr) offshoot.steps = read_steps(*steps);
    const std::size_t first = all_.rows.size();
    for (const std::int64_t step : offshoot.at) {
      all_.rows.push_back({static_cast<std::int32_t>(all_.tables.size()), step});
    }
    for (const OffshootItem* item : items) {
      if (item->key == nullptr) continue;
      const Value value = read_value(*item->key, *item->node, item->label(), *item->source);
      for (std::size_t row = first; row < all_.rows.size(); ++row) {
        set(item->path, item->key, row, value, *item);
      }
    }
    if (offshoot.steps) {
      for (std::size_t row = first; row < all_.rows.size(); ++row) {
        set(last_step_key, nullptr, row, all_.rows[row].step + *offshoot.steps, *steps);
      }
    }
    all_.tables.push_back(std::move(offshoot));
  }

  void finish() {
    for (std::size_t c = 0; c < all_.factor.columns.size(); ++c) {
      SweepColumn& column = all_.factor.columns[c];
      grow(column, all_.rows.size());
      column.values = std::move(indices_[c].values());
    }
    all_.factor.rows = static_cast<std::int64_t>(all_.rows.size());
  }

 private:
  void set(const std::string& path, const KeySpec* key, std::size_t row, const Value& value,
           const OffshootItem& item) {
    const auto [number, is_new] = numbers_.emplace(path, all_.factor.columns.size());
    if (is_new) {
      all_.factor.columns.push_back({path, key, {}, {}, {}, {}});
      indices_.emplace_back();
    }
    SweepColumn& column = all_.factor.columns[number->second];
    grow(column, row + 1);
    column.of_row[row] = indices_[number->second].find_or_add(value);
    column.lines[row] = item.line;
    column.sources[row] = item.source;
  }

  void grow(SweepColumn& column, std::size_t rows) const {
    column.of_row.resize(rows, -1);
    column.lines.resize(rows, 0);
    column.sources.resize(rows, all_.factor.source);
  }

  Offshoots& all_;
  std::int64_t product_;
  std::map<std::string, std::size_t> numbers_;
  std::vector<ValueIndex> indices_;
};

}  // namespace

Offshoots read_offshoots(const std::vector<OffshootItem>& items, std::int64_t product) {
  Offshoots all;
  if (items.empty()) return all;
  all.factor.source = items.front().source;
  all.rows.push_back({});
  OffshootRows rows(all, product);
  std::set<std::string_view> done;
  for (const OffshootItem& item : items) {
    if (!done.insert(item.offshoot).second) continue;
    std::vector<const OffshootItem*> own;
    for (const OffshootItem& other : items) {
      if (other.offshoot == item.offshoot) own.push_back(&other);
    }
    rows.add(own);
    if (static_cast<std::int64_t>(all.rows.size()) > max_members / product) {
      throw InputError(found_text(all.tables.back().place.text(), own.front()->label(),
                                  fmt::format("offshoots of {} members each", product),
                                  fmt::format("at most {} members", max_members)));
    }
  }
  rows.finish();
  return all;
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
