// Which keys an experiment may have: types, ranges, defaults, units and their documentation, in
// one table that parsing, validation and the reference documentation all read. Each room registers
// the keys that it reads (`add_*_keys(Spec&)` beside the code that reads them).
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/value.hpp"

namespace manyfold {

/// The types a key accepts; combine with |.
enum class Type : unsigned {
  boolean = 1,
  integer = 2,
  number = 4,  ///< a double; integers are accepted and converted, unless `integer` is accepted too
  text = 8,
  integers = 16,
  numbers = 32,
  texts = 64,
};
constexpr Type operator|(Type a, Type b) {
  return static_cast<Type>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool accepts(Type set, Type one) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

/// A key is legal only where `key`'s value (after defaults) is one of `values`. Values other than
/// texts are compared as TOML writes them: "true", "3". A `*` in `key` is the name that the `*` at
/// the same place among the stars of the conditioned key stands for.
struct Condition {
  std::string key{};
  std::vector<std::string> values{};
};

struct KeySpec {
  std::string path{};  ///< dotted, `*` stands for one name chosen by the user: "cadences.*.every"
  Type type = Type::number;
  std::string doc{};       ///< one or two sentences for the reference
  std::string unit = "1";  ///< as UDUNITS writes it, for coordinates of the record
  std::optional<Value> default_value{};
  bool required = false;  ///< where its conditions hold
  std::optional<double> min{},
      max{};  ///< for numbers and each element of lists; finite is always asked
  bool min_exclusive = false, max_exclusive = false;
  std::vector<std::string> choices{};  ///< for texts: the legal words
  std::vector<Condition> when{};       ///< all must hold
  bool sweepable = true;
  /// The text, or each of the texts, is a path: relative ones are read as relative to the folder of
  /// the experiment file (in a `--set`: to the current directory) and become absolute.
  bool is_path = false;
  /// Where the key is not given it has the value of this key ("seed" for "init.seed"), member by
  /// member. Excludes `default_value`.
  std::string default_key{};
  /// The default is filled in and `required` holds only where the table around the key is written
  /// (a probe of many). Keys with a `*` are so by themselves, for each name in use.
  bool with_table = false;
  /// The legal names for the last `*`; empty: any.
  std::vector<std::string> names{};
};

class Spec {
 public:
  /// Throws std::logic_error for a path that is registered twice or is both a key and a table, and
  /// for a default of a wrong type, out of range or not among the choices.
  void add(KeySpec key);
  /// Lets a registered key hold, too, where `where.key` has one of `where.values`: they join those
  /// of its condition on that key. `doc` is added to its documentation. For a key that several
  /// models read. Throws std::logic_error where there is no such key or condition.
  void also(std::string_view path, const Condition& where, std::string_view doc = "");
  /// The key that `path` names, matching `*`; nullptr if there is none. A key spelled out comes
  /// before one with `*`.
  const KeySpec* find(std::string_view path) const;
  /// The known path nearest to `path` by edit distance (a wrong last word, a wrong table);
  /// nullopt when nothing is near enough to be of help.
  std::optional<std::string> nearest(std::string_view path) const;
  std::span<const KeySpec> keys() const;  ///< in order of registration

  /// Whether `path` is a table that holds known keys, directly or deeper; "" is.
  bool is_table(std::string_view path) const;
  /// What may stand in a table: its keys and tables, in order of registration; `*` where any name
  /// may.
  std::vector<std::string> children(std::string_view table) const;
  /// Throws std::logic_error for a condition or a `default_key` that names an unknown key, and for
  /// keys that depend on themselves. Called once all keys are in.
  void check() const;

  /// Names keys, and tables of keys, that an offshoot may set: settings that may change while a
  /// member trains. All others belong to the network that it takes over from its parent.
  void let_offshoots_set(std::vector<std::string> paths) { offshoot_paths_ = std::move(paths); }
  std::span<const std::string> offshoot_paths() const { return offshoot_paths_; }
  bool may_offshoots_set(std::string_view path) const;

 private:
  std::vector<KeySpec> keys_;
  std::map<std::string, std::size_t, std::less<>> exact_;  ///< keys without `*`
  std::vector<std::size_t> patterns_;                      ///< keys with `*`
  std::vector<std::string> offshoot_paths_;
};

/// The parts of a dotted path.
std::vector<std::string_view> path_parts(std::string_view path);

/// `condition` with its stars bound as `pattern` (a registered path) binds them in `path`.
std::string bind_stars(std::string_view condition, std::string_view pattern, std::string_view path);

/// The word among `words` that `word` most likely was meant to be.
std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> words);

}  // namespace manyfold
