// The resolved experiment: what was read, with defaults and overrides, as TOML again. Values that
// were computed (geomspace) are written as such, so that no library's pow matters when the file is
// read elsewhere; ranges of integers stay ranges.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/sweep/plan.hpp"

namespace manyfold {
namespace {

std::string table_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? "" : std::string(path.substr(0, dot));
}

std::string key_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return toml_key(dot == std::string_view::npos ? path : path.substr(dot + 1));
}

std::string header_of(std::string_view table) {
  std::string text;
  for (const std::string_view part : path_parts(table)) {
    if (!text.empty()) text += '.';
    text += toml_key(part);
  }
  return "\n[" + text + "]\n";
}

std::string key_factor_text(const SweepFactor& factor) {
  const SweepColumn& column = factor.columns.front();
  std::string text = to_toml(column.path) + " = ";
  if (factor.range) {
    return text + fmt::format("{{ range = [{}, {}, {}] }}\n", factor.range->start,
                              factor.range->stop, factor.range->step);
  }
  text += "[";
  for (std::size_t row = 0; row < column.of_row.size(); ++row) {
    if (row > 0) text += ", ";
    text += to_toml(column.values[static_cast<std::size_t>(column.of_row[row])]);
  }
  return text + "]\n";
}

std::string zip_rows_text(const SweepFactor& factor, std::string_view indent) {
  std::string text = "[\n";
  for (std::size_t row = 0; row < static_cast<std::size_t>(factor.rows); ++row) {
    std::string cells;
    for (const SweepColumn& column : factor.columns) {
      if (column.of_row[row] < 0) continue;
      cells += fmt::format("{} {} = {}", cells.empty() ? "" : ",", to_toml(column.path),
                           to_toml(column.values[static_cast<std::size_t>(column.of_row[row])]));
    }
    text += fmt::format("{}  {{{}{}}},\n", indent, cells, cells.empty() ? "" : " ");
  }
  return text + std::string(indent) + "]";
}

std::string sweep_text_of(const std::vector<SweepFactor>& factors) {
  if (factors.empty()) return "";
  std::string text = "\n[sweep]\n";
  const auto zips = std::count_if(factors.begin(), factors.end(),
                                  [](const SweepFactor& factor) { return factor.zip; });
  bool zip_is_written = false;
  for (const SweepFactor& factor : factors) {
    if (!factor.zip) {
      text += key_factor_text(factor);
    } else if (zips == 1) {
      text += "zip = " + zip_rows_text(factor, "") + "\n";
    } else if (!zip_is_written) {  // all come from the one key `zip` and follow each other
      zip_is_written = true;
      text += "zip = [\n";
      for (const SweepFactor& other : factors) {
        if (other.zip) text += "  " + zip_rows_text(other, "  ") + ",\n";
      }
      text += "]\n";
    }
  }
  return text;
}

}  // namespace

std::string Experiment::Plan::resolved_toml() const {
  // Tables in written order; the keys of one stand together, below its header.
  std::vector<std::string> tables = {""};
  std::set<std::string> known = {""};
  std::vector<std::pair<std::string, const SettingsTable::Setting*>> keys;
  for (const auto& item : table.order) {
    std::string parent = item.is_table ? item.path : table_of(item.path);
    if (!item.is_table) {
      const auto it = std::lower_bound(
          table.settings.begin(), table.settings.end(), item.path,
          [](const auto& setting, const std::string& path) { return setting.path < path; });
      if (!resolved[static_cast<std::size_t>(it - table.settings.begin())]) continue;
      keys.emplace_back(parent, &*it);
    }
    if (known.insert(parent).second) tables.push_back(std::move(parent));
  }
  std::string text;
  for (const std::string& name : tables) {
    std::string lines;
    for (const auto& [parent, setting] : keys) {
      if (parent == name) lines += key_of(setting->path) + " = " + to_toml(*setting->value) + "\n";
    }
    // A header alone still says something below a `*`: a probe with its defaults.
    if (!name.empty()) text += header_of(name);
    text += lines;
  }
  return text + sweep_text_of(factors);
}

}  // namespace manyfold
