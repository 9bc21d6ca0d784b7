// The values of one member: every key that applies to it, defaults included, with its place in the
// file so that a model can reject a value as precisely as the parser does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/value.hpp"

namespace manyfold {

/// What the members of an experiment have in common: every key that any of them has, with the value
/// that it has where no sweep entry sets it. Shared by their Settings.
struct SettingsTable {
  struct Setting {
    std::string path;
    std::optional<Value> value;  ///< as written in the base, or the default
    Location location;
    bool written = false;
    int alias = -1;   ///< the setting whose value stands in for an absent one (`default_key`)
    int column = -1;  ///< which swept key, -1 for none
    int branch_column = -1;  ///< which key of offshoots; where it has a value, that one holds
  };
  struct Item {
    std::string path;
    bool is_table = false;
    Location location;
  };
  std::vector<Setting> settings;  ///< ascending by path
  std::vector<Item> order;        ///< keys and tables as written, then the defaults
  std::string file;
};

class Settings {
 public:
  /// The value of one swept key; `value` is null where the member's zip table leaves the key out.
  struct Swept {
    const Value* value = nullptr;
    const std::string* file = nullptr;
    int line = 0;
  };

  /// No key at all.
  Settings();
  /// For Experiment: `applies[i]` tells whether `table->settings[i]` applies to the member; `swept`
  /// by column. What they point to must live as long as `table`.
  Settings(std::shared_ptr<const SettingsTable> table, const std::vector<bool>* applies,
           std::vector<Swept> swept);

  bool has(std::string_view path) const;         ///< written, swept or defaulted
  bool is_written(std::string_view path) const;  ///< written or swept, not a default
  /// Each throws std::logic_error for a key that is absent or of another type: validation has
  /// already happened, so that is a mistake of the program, not of the user.
  const Value& value(std::string_view path) const;
  bool boolean(std::string_view path) const;
  std::int64_t integer(std::string_view path) const;
  double number(std::string_view path) const;  ///< an integer is converted
  const std::string& text(std::string_view path) const;
  std::vector<std::int64_t> integers(std::string_view path) const;  ///< a lone integer: one element
  std::vector<double> numbers(std::string_view path) const;         ///< a lone number: one element
  std::vector<std::string> texts(std::string_view path) const;      ///< a lone text: one element
  /// Names under a table that are written or swept, in written order, not those that stand there by
  /// default alone: children("probes") = {"test_loss", "balance"}.
  std::vector<std::string> children(std::string_view table) const;
  /// Of the value; for a table where it begins; for what is not written the table around it.
  Location location(std::string_view path) const;

  /// Throws InputError "FILE:LINE: PATH: found FOUND, expected EXPECTED"; without the line for a
  /// default.
  [[noreturn]] void reject(std::string_view path, std::string_view found,
                           std::string_view expected) const;

 private:
  /// The setting of `path` where it applies to this member, else nullptr.
  const SettingsTable::Setting* find(std::string_view path) const;
  const Swept* swept(const SettingsTable::Setting& setting) const;
  const Value* value_of(const SettingsTable::Setting& setting) const;

  std::shared_ptr<const SettingsTable> table_;
  const std::vector<bool>* applies_ = nullptr;
  std::vector<Swept> swept_;
};

}  // namespace manyfold
