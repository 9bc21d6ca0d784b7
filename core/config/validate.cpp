// Checks one value against its key and words what is wrong with it.
#include "core/config/validate.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold {
namespace {

std::string bounds_text(const KeySpec& key) {
  std::string text;
  if (key.min) text += fmt::format(" {} {}", key.min_exclusive ? ">" : ">=", *key.min);
  if (key.max) {
    text +=
        fmt::format("{} {} {}", key.min ? " and" : "", key.max_exclusive ? "<" : "<=", *key.max);
  }
  return text;
}

std::string choices_text(const KeySpec& key) {
  std::string text;
  for (const std::string& choice : key.choices) {
    if (!text.empty()) text += ", ";
    text += to_toml(choice);
  }
  return text;
}

std::string expected_text(const KeySpec& key, bool say_finite) {
  const std::string bounds = bounds_text(key);
  const std::string finite = say_finite ? "finite " : "";
  std::vector<std::string> words;
  if (accepts(key.type, Type::boolean)) words.emplace_back("true or false");
  if (accepts(key.type, Type::number)) {
    words.push_back("a " + finite + "number" + bounds);
  } else if (accepts(key.type, Type::integer)) {
    words.push_back("an integer" + bounds);
  }
  if (accepts(key.type, Type::text)) {
    if (key.choices.empty()) {
      words.emplace_back(key.is_path ? "a path" : "a string");
    } else {
      words.push_back((key.choices.size() > 1 ? "one of " : "") + choices_text(key));
    }
  }
  if (accepts(key.type, Type::numbers)) {
    words.push_back("a list of " + finite + "numbers" + bounds);
  } else if (accepts(key.type, Type::integers)) {
    words.push_back("a list of integers" + bounds);
  }
  if (accepts(key.type, Type::texts)) {
    if (key.choices.empty()) {
      words.emplace_back(key.is_path ? "a list of paths" : "a list of strings");
    } else {
      words.push_back("a list of words from " + choices_text(key));
    }
  }
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

/// One value or one list checked against its key.
class Check {
 public:
  Check(const KeySpec& key, const std::string& path, const std::string& file)
      : key_(key), path_(path), file_(file) {}

  Value operator()(const TomlNode& node) const {
    if (const TomlList* list = node.list()) return checked_list(node, *list);
    Value value = scalar(node, key_.type, [&](bool finite, const std::string& hint) {
      fail(node, describe(node), finite, hint);
    });
    return value;
  }

 private:
  [[noreturn]] void fail(const TomlNode& place, const std::string& found, bool say_finite = false,
                         const std::string& hint = "") const {
    throw InputError(found_text(Location{file_, place.line}.text(), path_, found,
                                expected_text(key_, say_finite) + hint));
  }

  bool in_range(double value) const {
    if (key_.min && (key_.min_exclusive ? value <= *key_.min : value < *key_.min)) return false;
    return !(key_.max && (key_.max_exclusive ? value >= *key_.max : value > *key_.max));
  }

  /// A scalar of one of the scalar types of `type`; calls `wrong(say_finite, hint)`, which throws.
  template <class Wrong>
  Value scalar(const TomlNode& node, Type type, const Wrong& wrong) const {
    if (const auto* boolean = std::get_if<bool>(&node.content)) {
      if (accepts(type, Type::boolean)) return *boolean;
    } else if (const auto* integer = std::get_if<std::int64_t>(&node.content)) {
      const auto number = static_cast<double>(*integer);
      if (accepts(type, Type::integer) || accepts(type, Type::number)) {
        if (!in_range(number)) wrong(false, "");
        return accepts(type, Type::integer) ? Value(*integer) : Value(number);
      }
    } else if (const auto* number = std::get_if<double>(&node.content)) {
      if (accepts(type, Type::number)) {
        if (!std::isfinite(*number)) wrong(true, "");
        if (!in_range(*number)) wrong(false, "");
        return *number;
      }
      constexpr double exact = 9007199254740992.0;  // 2^53
      if (accepts(type, Type::integer) && std::abs(*number) <= exact &&
          std::floor(*number) == *number) {
        wrong(false, fmt::format(" (write {})", static_cast<std::int64_t>(*number)));
      }
    } else if (const auto* text = std::get_if<std::string>(&node.content)) {
      if (accepts(type, Type::text)) {
        if (key_.is_path && (text->empty() || text->find('\0') != std::string::npos)) {
          wrong(false, "");
        }
        if (key_.choices.empty() ||
            std::find(key_.choices.begin(), key_.choices.end(), *text) != key_.choices.end()) {
          return *text;
        }
        const auto nearest = nearest_word(*text, key_.choices);
        wrong(false, nearest ? fmt::format("; did you mean {}?", to_toml(*nearest)) : "");
      }
    }
    wrong(false, "");
    return {};
  }

  Value checked_list(const TomlNode& node, const TomlList& list) const {
    const bool integers = accepts(key_.type, Type::integers);
    const bool numbers = accepts(key_.type, Type::numbers);
    const bool texts = accepts(key_.type, Type::texts);
    if (!integers && !numbers && !texts) fail(node, describe(node));
    if (list.empty()) {
      throw InputError(found_text(Location{file_, node.line}.text(), path_, "[]",
                                  expected_text(key_) + " that is not empty"));
    }
    const bool whole = std::all_of(list.begin(), list.end(), [](const TomlNode& n) {
      return std::holds_alternative<std::int64_t>(n.content);
    });
    const bool words = std::holds_alternative<std::string>(list.front().content);
    Type type = Type::number;
    if (words && texts) {
      type = Type::text;
    } else if (integers && (whole || !numbers)) {
      type = Type::integer;
    } else if (!integers && !numbers) {
      type = Type::text;
    }
    std::vector<std::int64_t> whole_values;
    std::vector<double> number_values;
    std::vector<std::string> text_values;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Value value = scalar(list[i], type, [&](bool finite, const std::string& hint) {
        fail(list[i], fmt::format("{} as element {}", describe(list[i]), i + 1), finite, hint);
      });
      if (const auto* x = std::get_if<std::int64_t>(&value)) whole_values.push_back(*x);
      if (const auto* x = std::get_if<double>(&value)) number_values.push_back(*x);
      if (const auto* x = std::get_if<std::string>(&value)) text_values.push_back(*x);
    }
    if (type == Type::integer) return whole_values;
    if (type == Type::number) return number_values;
    return text_values;
  }

  const KeySpec& key_;
  const std::string& path_;
  const std::string& file_;
};

TomlNode node_of(const Value& value) {
  TomlNode node;
  std::visit(
      [&](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::vector<std::int64_t>> ||
                      std::is_same_v<T, std::vector<double>> ||
                      std::is_same_v<T, std::vector<std::string>>) {
          TomlList list;
          for (const auto& element : v) list.push_back(node_of(Value(element)));
          node.content = std::move(list);
        } else {
          node.content = v;
        }
      },
      value);
  return node;
}

}  // namespace

std::string expected_text(const KeySpec& key) { return expected_text(key, false); }

std::string found_text(const std::string& place, std::string_view path, std::string_view found,
                       std::string_view expected) {
  return fmt::format("{}: {}: found {}, expected {}", place, path, found, expected);
}

Value validated(const KeySpec& key, const TomlNode& node, const std::string& path,
                const std::string& file) {
  return Check(key, path, file)(node);
}

Value validated(const KeySpec& key, const Value& value) {
  return Check(key, key.path, "")(node_of(value));
}

std::string unknown_text(const Spec& spec, std::string_view path) {
  if (const auto nearest = spec.nearest(path)) {
    return fmt::format("unknown key; did you mean {}?", *nearest);
  }
  std::string_view table = path, word = path;
  do {
    const std::size_t dot = table.rfind('.');
    word = dot == std::string_view::npos ? table : table.substr(dot + 1);
    table = dot == std::string_view::npos ? std::string_view() : table.substr(0, dot);
  } while (!spec.is_table(table));
  if (const auto nearest = nearest_word(word, spec.children(table))) {
    return fmt::format("unknown key; did you mean {}{}{}?", table, table.empty() ? "" : ".",
                       *nearest);
  }
  return fmt::format("unknown key; known {}: {}",
                     table.empty() ? "at the top" : fmt::format("in {}", table),
                     fmt::join(spec.children(table), ", "));
}

}  // namespace manyfold
