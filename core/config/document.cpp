// Reads TOML through toml++ into a tree in written order; the only file that sees toml++.
#include "core/config/document.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/config/value.hpp"
#include "core/error.hpp"

// toml++ 3.3 takes some malformed documents (`[1, }`) for mistakes of its own: an assertion ends
// the program, or, compiled without assertions, is assumed to hold. Here it is an exception,
// always.
namespace manyfold {
struct TomlAssertion {};
constexpr void toml_assert(bool holds) {
  if (!holds) throw TomlAssertion();
}
}  // namespace manyfold
#undef NDEBUG
#define TOML_ASSERT(condition) manyfold::toml_assert(static_cast<bool>(condition))

// With <charconv> a literal that no double holds (1e-400) is an error, not a silent zero.
#define TOML_FLOAT_CHARCONV 1
#include <toml++/toml.h>

namespace manyfold {
namespace {

// An experiment needs about five levels. toml++ builds, walks and destroys tables recursively, and
// bounds nested values but not the parts of a dotted key.
constexpr int max_depth = 64;
constexpr int max_key_parts = 32;

/// Length of the UTF-8 sequence at `at`, 0 where there is none (Unicode 15, table 3-7).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xc2 && b <= 0xdf) return tail(1) ? 2 : 0;
  if (b >= 0xe0 && b <= 0xef) {
    const unsigned low = b == 0xe0 ? 0xa0 : 0x80, high = b == 0xed ? 0x9f : 0xbf;
    return byte(1) >= low && byte(1) <= high && tail(2) ? 3 : 0;
  }
  if (b >= 0xf0 && b <= 0xf4) {
    const unsigned low = b == 0xf0 ? 0x90 : 0x80, high = b == 0xf4 ? 0x8f : 0xbf;
    return byte(1) >= low && byte(1) <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

/// "LINE:COLUMN" of a byte.
std::string place_of(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  return fmt::format("{}:{}", line, at - start + 1);
}

/// Where an assertion of the parser fails: the last byte of the shortest beginning that fails.
std::size_t unexpected_byte(std::string_view text) {
  std::size_t good = 0, bad = text.size();
  while (bad - good > 1) {
    const std::size_t middle = good + (bad - good) / 2;
    try {
      static_cast<void>(toml::parse(text.substr(0, middle)));
      good = middle;
    } catch (const TomlAssertion&) {
      bad = middle;
    } catch (const toml::parse_error&) {
      good = middle;
    }
  }
  return bad - 1;
}

/// Refuses what toml++ would not survive, before it reads: nesting that exhausts the stack, and
/// characters outside ASCII where it looks for white space (3.3 leaves its switch over them without
/// an answer, which is undefined). Of TOML's grammar this knows strings and comments.
class DocumentCheck {
 public:
  DocumentCheck(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  void run() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    int depth = 0, parts = 1;
    while (at_ < text_.size()) {
      switch (text_[at_]) {
        case '#':
          skip_while([](char c) { return c != '\n'; });
          continue;
        case '"':
        case '\'':
          skip_string(text_[at_]);
          continue;
        case '[':
        case '{':
          if (++depth > max_depth) fail(fmt::format("nested deeper than {} levels", max_depth));
          parts = 1;
          break;
        case ']':
        case '}':
          depth = std::max(0, depth - 1);
          parts = 1;
          break;
        case '.':
          if (++parts > max_key_parts) {
            fail(fmt::format("a key of more than {} parts", max_key_parts));
          }
          break;
        case '\n':
        case '=':
        case ',':
          parts = 1;
          break;
        default:
          if (!is_ascii()) fail("not TOML: a character outside ASCII that is not in quotes");
      }
      ++at_;
    }
  }

 private:
  template <class Condition>
  void skip_while(const Condition& condition) {
    while (at_ < text_.size() && condition(text_[at_])) ++at_;
  }

  bool is_ascii() const { return at_ >= text_.size() || (text_[at_] & 0x80) == 0; }

  void skip_string(char quote) {
    const std::string fence(3, quote);
    const bool long_string = text_.substr(at_, 3) == fence;
    at_ += long_string ? 3 : 1;
    while (at_ < text_.size()) {
      if (long_string ? text_.substr(at_, 3) == fence : text_[at_] == quote) break;
      if (!long_string && text_[at_] == '\n') return;
      const bool escape = quote == '"' && text_[at_] == '\\';
      ++at_;
      if (escape) skip_escaped(long_string);
    }
    at_ = std::min(text_.size(), at_ + (long_string ? 3 : 1));
    // A long string may end in quotes of its own: """a""""" holds a"".
    for (int own = 0; long_string && own < 2 && at_ < text_.size() && text_[at_] == quote; ++own) {
      ++at_;
    }
  }

  /// What follows a backslash: a character, or white space that it takes out of a long string.
  void skip_escaped(bool long_string) {
    const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    const bool trims = long_string && at_ < text_.size() && is_space(text_[at_]);
    if (trims) skip_while(is_space);
    if (!is_ascii()) {
      fail(trims ? "a character outside ASCII after a backslash that ends a line: write it as an "
                   "escape (\\u00e9)"
                 : "not TOML: a backslash before a character outside ASCII");
    }
    if (!trims && at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(fmt::format("{}:{}: {}", name_, place_of(text_, at_), what));
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
};

int line_of(const toml::source_region& source) { return static_cast<int>(source.begin.line); }

TomlNode converted(const toml::node& node);

TomlTable converted_table(const toml::table& table) {
  TomlTable entries;
  entries.reserve(table.size());
  for (const auto& [key, node] : table) {
    entries.push_back({std::string(key.str()), line_of(key.source()),
                       static_cast<int>(key.source().begin.column), converted(node)});
  }
  std::stable_sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  return entries;
}

TomlNode converted(const toml::node& node) {
  TomlNode result;
  result.line = line_of(node.source());
  if (const auto* table = node.as_table()) {
    result.content = converted_table(*table);
  } else if (const auto* array = node.as_array()) {
    TomlList list;
    list.reserve(array->size());
    for (const toml::node& element : *array) list.push_back(converted(element));
    result.content = std::move(list);
  } else if (const auto* boolean = node.as_boolean()) {
    result.content = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    result.content = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    result.content = number->get();
  } else if (const auto* text = node.as_string()) {
    result.content = text->get();
  } else {
    result.content = TomlDate{};
  }
  return result;
}

void forget_lines(TomlNode& node) {
  node.line = 0;
  if (auto* list = std::get_if<TomlList>(&node.content)) {
    for (TomlNode& element : *list) forget_lines(element);
  } else if (auto* table = std::get_if<TomlTable>(&node.content)) {
    for (TomlEntry& entry : *table) {
      entry.line = 0;
      forget_lines(entry.node);
    }
  }
}

}  // namespace

void check_text(std::string_view text, const std::string& name) {
  int line = 1;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\0') {
      throw InputError(
          fmt::format("{}:{}: not a text file: found a NUL byte at offset {}, expected "
                      "TOML",
                      name, line, i));
    }
    if (text[i] == '\n') ++line;
    const std::size_t length = utf8_length(text, i);
    if (length == 0) {
      throw InputError(
          fmt::format("{}:{}: not a text file: found byte 0x{:02x} at offset {}, "
                      "expected UTF-8",
                      name, line, static_cast<unsigned>(static_cast<unsigned char>(text[i])), i));
    }
    i += length;
  }
}

TomlNode read_toml(std::string_view text, const std::string& name) {
  check_text(text, name);
  DocumentCheck(text, name).run();
  try {
    return converted(toml::parse(text));
  } catch (const TomlAssertion&) {
    const std::size_t at = unexpected_byte(text);
    const char c = text[at];
    const std::string what = c > ' ' && c < 0x7f ? fmt::format("'{}'", c) : "character";
    throw InputError(fmt::format("{}:{}: not TOML: unexpected {}", name, place_of(text, at), what));
  } catch (const toml::parse_error& error) {
    std::string_view reason = error.description();
    if (constexpr std::string_view prefix = "Error while parsing "; reason.starts_with(prefix)) {
      reason.remove_prefix(prefix.size());
    }
    const auto& place = error.source().begin;
    throw InputError(fmt::format("{}:{}:{}: not TOML: {}", name, place.line, place.column, reason));
  }
}

std::vector<std::string> read_key(std::string_view text) {
  if (text.find_first_of("\n\r#[{") != std::string_view::npos) return {};
  std::vector<std::string> parts;
  try {
    const TomlNode root = read_toml(std::string(text) + " = 0", "");
    for (const TomlNode* node = &root; node->table() != nullptr;) {
      if (node->table()->size() != 1) return {};
      const TomlEntry& entry = node->table()->front();
      if (entry.key.empty()) return {};
      parts.push_back(entry.key);
      node = &entry.node;
    }
  } catch (const InputError&) {
    return {};
  }
  return parts;
}

TomlNode read_value_or_text(std::string_view text) {
  try {
    TomlNode root = read_toml("v = " + std::string(text), "");
    auto& table = std::get<TomlTable>(root.content);
    if (table.size() == 1 && table.front().key == "v") {
      forget_lines(table.front().node);
      return std::move(table.front().node);
    }
  } catch (const InputError&) {
    // A bare word: `--set optimizer.kind=gd`.
  }
  TomlNode node;
  node.content = std::string(text);
  return node;
}

std::string describe(const TomlNode& node) {
  struct Words {
    std::string operator()(bool v) const { return to_toml(v); }
    std::string operator()(std::int64_t v) const { return to_toml(v); }
    std::string operator()(double v) const { return to_toml(v); }
    std::string operator()(const std::string& v) const {
      constexpr std::size_t longest = 60;
      if (v.size() <= longest) return to_toml(v);
      std::size_t end = longest;
      while (end > 0 && (static_cast<unsigned char>(v[end]) & 0xc0U) == 0x80U) --end;
      return to_toml(v.substr(0, end)) + "...";
    }
    std::string operator()(TomlDate) const { return "a date or time"; }
    std::string operator()(const TomlList& v) const {
      if (v.empty()) return "[]";
      const auto nested = [](const TomlNode& n) { return n.list() != nullptr; };
      const auto table = [](const TomlNode& n) { return n.table() != nullptr; };
      if (std::any_of(v.begin(), v.end(), nested)) return "a list of lists";
      if (std::any_of(v.begin(), v.end(), table)) return "a list of tables";
      std::string text = "[";
      for (const TomlNode& element : v) {
        if (text.size() > 1) text += ", ";
        text += describe(element);
        if (text.size() > 60) return fmt::format("a list of {} values", v.size());
      }
      return text + "]";
    }
    std::string operator()(const TomlTable&) const { return "a table"; }
  };
  return std::visit(Words{}, node.content);
}

}  // namespace manyfold
