// A value of an experiment file, and where it was written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace manyfold {

/// Lists are homogeneous; a list of integers is accepted where numbers are asked for.
using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                           std::vector<double>, std::vector<std::string>>;

/// Where a value was written. `line` 0 means that it has no line: a `--set`, or a default.
struct Location {
  std::string file;  ///< as the user named it; "--set a.b=v" for overrides; empty for defaults
  int line = 0;

  /// "first.toml:12", "--set a.b=v", or "default".
  std::string text() const;
};

/// The value as TOML writes it; doubles in the shortest form that reads back to the same bits.
std::string to_toml(const Value& value);

/// One part of a key as TOML writes it: bare where that is allowed, else quoted.
std::string toml_key(std::string_view part);

/// "a string", "an integer", "a list of numbers": for messages.
std::string_view type_name(const Value& value);

/// Equal in type and in every bit: 0.0 and -0.0 differ, a NaN equals itself.
bool same_bits(const Value& a, const Value& b);

}  // namespace manyfold
