// Writes values as TOML that reads back to the same bits.
#include "core/config/value.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

namespace manyfold {
namespace {

std::string toml_of(bool value) { return value ? "true" : "false"; }

std::string toml_of(std::int64_t value) { return fmt::format("{}", value); }

std::string toml_of(double value) {
  if (std::isnan(value)) return std::signbit(value) ? "-nan" : "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);  // the shortest text that reads back to these bits
  // TOML tells a float from an integer by its point or exponent; an integer has no negative zero.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string toml_of(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    switch (c) {
      case '"':
        text += "\\\"";
        break;
      case '\\':
        text += "\\\\";
        break;
      case '\b':
        text += "\\b";
        break;
      case '\t':
        text += "\\t";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\f':
        text += "\\f";
        break;
      case '\r':
        text += "\\r";
        break;
      default: {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
          text += fmt::format("\\u{:04X}", static_cast<unsigned>(byte));
        } else {
          text += c;
        }
      }
    }
  }
  return text + "\"";
}

template <class T>
std::string toml_of(const std::vector<T>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ", ";
    text += toml_of(values[i]);
  }
  return text + "]";
}

bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

}  // namespace

std::string Location::text() const {
  if (file.empty()) return "default";
  return line > 0 ? fmt::format("{}:{}", file, line) : file;
}

std::string to_toml(const Value& value) {
  return std::visit([](const auto& v) { return toml_of(v); }, value);
}

std::string toml_key(std::string_view part) {
  const bool bare = !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return bare ? std::string(part) : toml_of(std::string(part));
}

std::string_view type_name(const Value& value) {
  switch (value.index()) {
    case 0:
      return "a boolean";
    case 1:
      return "an integer";
    case 2:
      return "a number";
    case 3:
      return "a string";
    case 4:
      return "a list of integers";
    case 5:
      return "a list of numbers";
    default:
      return "a list of strings";
  }
}

bool same_bits(const Value& a, const Value& b) {
  if (a.index() != b.index()) return false;
  if (const auto* x = std::get_if<double>(&a)) return same(*x, std::get<double>(b));
  if (const auto* x = std::get_if<std::vector<double>>(&a)) {
    const auto& y = std::get<std::vector<double>>(b);
    return std::equal(x->begin(), x->end(), y.begin(), y.end(), same);
  }
  return a == b;
}

}  // namespace manyfold
