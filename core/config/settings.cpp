// Looks values up by path: what a member sweeps first, then what all members share.
#include "core/config/settings.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold {
namespace {

[[noreturn]] void wrong_type(std::string_view path, const Value& value, std::string_view asked) {
  throw std::logic_error(
      fmt::format("settings: {} is {}, asked for {}", path, type_name(value), asked));
}

/// The parts of `path` below `table`, if it is below.
std::optional<std::string_view> below(std::string_view path, std::string_view table) {
  if (table.empty()) return path;
  if (path.size() <= table.size() || !path.starts_with(table) || path[table.size()] != '.') {
    return std::nullopt;
  }
  return path.substr(table.size() + 1);
}

}  // namespace

Settings::Settings() : table_(std::make_shared<SettingsTable>()) {}

Settings::Settings(std::shared_ptr<const SettingsTable> table, const std::vector<bool>* applies,
                   std::vector<Swept> swept)
    : table_(std::move(table)), applies_(applies), swept_(std::move(swept)) {}

const SettingsTable::Setting* Settings::find(std::string_view path) const {
  const auto& settings = table_->settings;
  const auto it = std::lower_bound(settings.begin(), settings.end(), path,
                                   [](const auto& s, std::string_view p) { return s.path < p; });
  if (it == settings.end() || it->path != path) return nullptr;
  if (!(*applies_)[static_cast<std::size_t>(it - settings.begin())]) return nullptr;
  return &*it;
}

const Settings::Swept* Settings::swept(const SettingsTable::Setting& setting) const {
  if (swept_.empty()) return nullptr;
  for (const int column : {setting.branch_column, setting.column}) {
    if (column < 0) continue;
    const Swept& entry = swept_[static_cast<std::size_t>(column)];
    if (entry.value != nullptr) return &entry;
  }
  return nullptr;
}

const Value* Settings::value_of(const SettingsTable::Setting& setting) const {
  if (const Swept* entry = swept(setting)) return entry->value;
  if (setting.value) return &*setting.value;
  if (setting.alias < 0) return nullptr;
  const auto alias = static_cast<std::size_t>(setting.alias);
  return (*applies_)[alias] ? value_of(table_->settings[alias]) : nullptr;
}

bool Settings::has(std::string_view path) const {
  const auto* setting = find(path);
  return setting != nullptr && value_of(*setting) != nullptr;
}

bool Settings::is_written(std::string_view path) const {
  const auto* setting = find(path);
  return setting != nullptr && (setting->written || swept(*setting) != nullptr);
}

const Value& Settings::value(std::string_view path) const {
  const auto* setting = find(path);
  const Value* value = setting == nullptr ? nullptr : value_of(*setting);
  if (value == nullptr) throw std::logic_error(fmt::format("settings: {} is not set", path));
  return *value;
}

bool Settings::boolean(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<bool>(&v)) return *x;
  wrong_type(path, v, "a boolean");
}

std::int64_t Settings::integer(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<std::int64_t>(&v)) return *x;
  wrong_type(path, v, "an integer");
}

double Settings::number(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<double>(&v)) return *x;
  if (const auto* x = std::get_if<std::int64_t>(&v)) return static_cast<double>(*x);
  wrong_type(path, v, "a number");
}

const std::string& Settings::text(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<std::string>(&v)) return *x;
  wrong_type(path, v, "a string");
}

std::vector<std::int64_t> Settings::integers(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<std::vector<std::int64_t>>(&v)) return *x;
  if (const auto* x = std::get_if<std::int64_t>(&v)) return {*x};
  wrong_type(path, v, "a list of integers");
}

std::vector<double> Settings::numbers(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<std::vector<double>>(&v)) return *x;
  if (const auto* x = std::get_if<double>(&v)) return {*x};
  if (const auto* x = std::get_if<std::int64_t>(&v)) return {static_cast<double>(*x)};
  if (const auto* x = std::get_if<std::vector<std::int64_t>>(&v)) {
    std::vector<double> converted;
    for (const std::int64_t element : *x) converted.push_back(static_cast<double>(element));
    return converted;
  }
  wrong_type(path, v, "a list of numbers");
}

std::vector<std::string> Settings::texts(std::string_view path) const {
  const Value& v = value(path);
  if (const auto* x = std::get_if<std::vector<std::string>>(&v)) return *x;
  if (const auto* x = std::get_if<std::string>(&v)) return {*x};
  wrong_type(path, v, "a list of strings");
}

std::vector<std::string> Settings::children(std::string_view table) const {
  std::vector<std::string> names;
  for (const auto& item : table_->order) {
    const auto rest = below(item.path, table);
    if (!rest || !(item.is_table || is_written(item.path))) continue;
    const std::string_view name = rest->substr(0, rest->find('.'));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  }
  return names;
}

Location Settings::location(std::string_view path) const {
  if (const auto* setting = find(path)) {
    if (const Swept* entry = swept(*setting)) return {*entry->file, entry->line};
    if (setting->written) return setting->location;
    if (value_of(*setting) != nullptr) return {};
  }
  for (std::string_view table = path; !table.empty();) {
    for (const auto& item : table_->order) {
      if (item.is_table && item.path == table) return item.location;
    }
    const std::size_t dot = table.rfind('.');
    table = dot == std::string_view::npos ? std::string_view() : table.substr(0, dot);
  }
  return {table_->file, 0};
}

void Settings::reject(std::string_view path, std::string_view found,
                      std::string_view expected) const {
  const Location place = location(path);
  const bool is_default = place.file.empty();
  throw InputError(fmt::format("{}: {}: found {}{}, expected {}",
                               is_default ? table_->file : place.text(), path, found,
                               is_default ? " (the default)" : "", expected));
}

}  // namespace manyfold
