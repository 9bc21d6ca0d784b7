// A written value against what its key accepts.
#pragma once

#include <string>
#include <string_view>

#include "core/config/document.hpp"
#include "core/config/spec.hpp"

namespace manyfold {

/// What a key accepts, in words: `a number > 0`, `one of "gd", "rms_gd"`, `an integer >= 1 or a
/// list of integers >= 1`.
std::string expected_text(const KeySpec& key);

/// "PLACE: PATH: found FOUND, expected EXPECTED"
std::string found_text(const std::string& place, std::string_view path, std::string_view found,
                       std::string_view expected);

/// The value with the type that the key asks for (integers become numbers where only numbers are
/// accepted). Throws InputError, which names `path` and the line of the element at fault in `file`.
Value validated(const KeySpec& key, const TomlNode& node, const std::string& path,
                const std::string& file);
/// The same for a value that the program gives. Throws InputError without a place.
Value validated(const KeySpec& key, const Value& value);

/// Why nothing is known under `path`, for InputError: "unknown key; did you mean ...?".
std::string unknown_text(const Spec& spec, std::string_view path);

}  // namespace manyfold
