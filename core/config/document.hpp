// A TOML document as a plain tree in written order, with the place of every key and value. The
// TOML library sorts tables by name and stays behind this header; the order in which a user wrote
// sweeps and probes is part of their meaning.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace manyfold {

struct TomlEntry;
struct TomlNode;

using TomlTable = std::vector<TomlEntry>;  ///< ascending by the place of the key
using TomlList = std::vector<TomlNode>;
/// A date or a time: legal TOML, of no use here; kept for messages.
struct TomlDate {};

struct TomlNode {
  std::variant<bool, std::int64_t, double, std::string, TomlDate, TomlList, TomlTable> content;
  int line = 0;

  const TomlTable* table() const { return std::get_if<TomlTable>(&content); }
  const TomlList* list() const { return std::get_if<TomlList>(&content); }
};

struct TomlEntry {
  std::string key;  ///< one part; a quoted one may contain dots
  int line = 0;
  int column = 0;
  TomlNode node;
};

/// Throws InputError where `text` is not UTF-8 or holds a NUL byte.
void check_text(std::string_view text, const std::string& name);

/// The document's root, a table. `name` stands for the file in messages. Throws InputError
/// "NAME:LINE:COL: not TOML: REASON", and for text that is not UTF-8, holds a NUL byte or nests
/// deeper than any experiment needs (the library recurses over what it read).
TomlNode read_toml(std::string_view text, const std::string& name);

/// The parts of a key path as TOML reads `a."b.c".d`; empty where `text` is none.
std::vector<std::string> read_key(std::string_view text);

/// The value that `text` is in TOML; where it is none, `text` itself as a string. Without lines.
TomlNode read_value_or_text(std::string_view text);

/// The node in a few words, for "found ...": `-0.1`, `"gd"`, `a table`, `a list of 12 values`.
std::string describe(const TomlNode& node);

}  // namespace manyfold
