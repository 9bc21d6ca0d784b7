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

/// Keys that a text of an experiment sets, with their values as TOML, in written order.
using Written = std::vector<std::pair<std::string, std::string>>;

/// Tables in written order; the keys of one stand together, below its header.
std::string tables_text(const std::vector<std::string>& tables, const Written& keys) {
  std::string text;
  for (const std::string& name : tables) {
    // A header alone still says something below a `*`: a probe with its defaults.
    if (!name.empty()) text += header_of(name);
    for (const auto& [path, value] : keys) {
      if (table_of(path) == name) text += key_of(path) + " = " + value + "\n";
    }
  }
  return text;
}

/// What the row of the offshoots' factor sets, without what `steps` stands for.
Written set_by_row(const SweepFactor& factor, std::size_t row, bool with_last_step) {
  Written keys;
  for (const SweepColumn& column : factor.columns) {
    if (column.of_row[row] < 0 || (!with_last_step && column.path == last_step_key)) continue;
    keys.emplace_back(column.path,
                      to_toml(column.values[static_cast<std::size_t>(column.of_row[row])]));
  }
  return keys;
}

std::string offshoot_text(const std::string& name, const std::vector<std::int64_t>& at,
                          std::optional<std::int64_t> steps, const Written& keys) {
  std::string text = fmt::format("\n[offshoots.{}]\nat = {}\n", toml_key(name), to_toml(at));
  if (steps) text += fmt::format("steps = {}\n", *steps);
  for (const auto& [path, value] : keys) text += fmt::format("{} = {}\n", to_toml(path), value);
  return text;
}

std::size_t index_of(const SettingsTable& table, std::string_view path) {
  const auto it =
      std::lower_bound(table.settings.begin(), table.settings.end(), path,
                       [](const auto& setting, std::string_view p) { return setting.path < p; });
  return static_cast<std::size_t>(it - table.settings.begin());
}

bool is_of_probes(std::string_view path) {
  const std::string_view top = path.substr(0, path.find('.'));
  return top == "probes" || top == "cadences";
}

}  // namespace

std::string Experiment::Plan::resolved_toml() const {
  std::vector<std::string> tables = {""};
  std::set<std::string> known = {""};
  Written keys;
  for (const auto& item : table.order) {
    std::string parent = item.is_table ? item.path : table_of(item.path);
    if (!item.is_table) {
      const std::size_t index = index_of(table, item.path);
      if (!resolved[index]) continue;
      keys.emplace_back(item.path, to_toml(*table.settings[index].value));
    }
    if (known.insert(parent).second) tables.push_back(std::move(parent));
  }
  const bool with_offshoots = !offshoots.empty();
  std::string text = tables_text(tables, keys);
  text += sweep_text_of({factors.begin() + (with_offshoots ? 1 : 0), factors.end()});
  for (std::size_t row = 1; row < offshoot_rows.size(); ++row) {
    const OffshootRow& here = offshoot_rows[row];
    if (here.offshoot == offshoot_rows[row - 1].offshoot) continue;
    const Offshoot& offshoot = offshoots[static_cast<std::size_t>(here.offshoot)];
    text += offshoot_text(offshoot.name, offshoot.at, offshoot.steps,
                          set_by_row(factors.front(), row, !offshoot.steps));
  }
  return text;
}

std::string Experiment::Plan::member_toml(std::int64_t member, std::int64_t last_step,
                                          bool with_probes) const {
  const std::shared_ptr<const SettingsTable> unowned(std::shared_ptr<void>(), &table);
  const OffshootRow* branch = offshoot_row(member);
  // A member takes one step at least; a parent is of no use beyond the branch.
  const std::int64_t end = std::max<std::int64_t>(1, branch == nullptr ? last_step : branch->step);
  const Settings settings = settings_of(unowned, rows_of(member % product));
  std::vector<std::string> tables = {""};
  std::set<std::string> known = {""};
  Written keys;
  for (const auto& item : table.order) {
    if (!with_probes && is_of_probes(item.path)) continue;
    std::string parent = item.is_table ? item.path : table_of(item.path);
    if (!item.is_table) {
      const SettingsTable::Setting& setting = table.settings[index_of(table, item.path)];
      // What a value stands in for (init.seed by default seed) is not written: it follows.
      const bool own = settings.is_written(item.path) || setting.value;
      if (!own || !settings.has(item.path)) continue;
      keys.emplace_back(item.path, item.path == last_step_key ? to_toml(end)
                                                              : to_toml(settings.value(item.path)));
    }
    if (known.insert(parent).second) tables.push_back(std::move(parent));
  }
  std::string text = tables_text(tables, keys);
  if (branch == nullptr) return text;
  Written set = set_by_row(factors.front(), static_cast<std::size_t>(member / product), false);
  std::optional<std::int64_t> steps;
  if (last_step > branch->step) {
    steps = last_step - branch->step;
  } else {
    set.emplace_back(last_step_key, to_toml(end));
  }
  const Offshoot& offshoot = offshoots[static_cast<std::size_t>(branch->offshoot)];
  return text + offshoot_text(offshoot.name, {branch->step}, steps, set);
}

std::string Experiment::Plan::identity(std::int64_t member) const {
  const std::shared_ptr<const SettingsTable> unowned(std::shared_ptr<void>(), &table);
  const Settings settings = settings_of(unowned, rows_of(member));
  std::string text;
  for (const SettingsTable::Setting& setting : table.settings) {
    if (setting.path == last_step_key || !spec.find(setting.path)->sweepable ||
        !settings.has(setting.path)) {
      continue;
    }
    text += setting.path + " = " + to_toml(settings.value(setting.path)) + "\n";
  }
  if (const OffshootRow* branch = offshoot_row(member)) {
    text += fmt::format("branched at {} from\n{}", branch->step, identity(member % product));
  }
  return text;
}

}  // namespace manyfold
