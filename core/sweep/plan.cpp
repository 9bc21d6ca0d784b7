// Decides which keys apply to which members, once per combination of the keys that conditions name.
#include "core/sweep/plan.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "core/config/validate.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

/// A value as conditions compare it.
std::string condition_text(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr ? *text : to_toml(value);
}

/// The condition's words as messages show them.
std::string words_text(const KeySpec& key, const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += accepts(key.type, Type::text) ? to_toml(words[i]) : words[i];
  }
  return text;
}

bool is_below(std::string_view path, std::string_view table) {
  return path.size() > table.size() && path.starts_with(table) && path[table.size()] == '.';
}

/// The number of parts of a path up to its last `*`, 0 without any.
std::size_t parts_to_star(std::string_view pattern) {
  const auto parts = path_parts(pattern);
  return static_cast<std::size_t>(std::find(parts.rbegin(), parts.rend(), "*").base() -
                                  parts.begin());
}

/// The first `count` parts of a path; all of it when it has fewer.
std::string first_parts(const std::string& path, std::size_t count) {
  auto parts = path_parts(path);
  parts.resize(std::min(count, parts.size()));
  return fmt::format("{}", fmt::join(parts, "."));
}

}  // namespace

/// Fills a plan whose base and factors are read.
class ExperimentPlanner {
 public:
  explicit ExperimentPlanner(Experiment::Plan& plan)
      : plan_(plan), settings_(plan.table.settings) {}

  void run() {
    number_columns();
    make_settings();
    refuse_overrides_of_swept_keys();
    link_settings();
    sort_rows_into_classes();
    judge_combinations();
    refuse_keys_that_never_apply();
    write_order();
    choose_base();
  }

 private:
  using Setting = SettingsTable::Setting;

  struct Link {
    const KeySpec* key = nullptr;
    std::vector<int> conditions;  ///< the setting that each condition asks, -1: nothing sets it
    int group = -1;
  };

  /// A name that the user chose for a `*`, or a table that is there only where it is written, and
  /// everything below it.
  struct Group {
    std::string path;
    bool in_base = false;
    bool always = true;        ///< some key of it is present in every combination
    std::vector<int> columns;  ///< swept keys in it
  };

  struct ColumnPlace {
    std::size_t factor;
    std::size_t column;
  };

  const SweepColumn& column(int number) const {
    const auto [factor, index] = places_[static_cast<std::size_t>(number)];
    return plan_.factors[factor].columns[index];
  }

  bool is_of_offshoots(std::size_t number) const {
    return !plan_.offshoots.empty() && places_[number].factor == 0;
  }

  void number_columns() {
    for (std::size_t f = 0; f < plan_.factors.size(); ++f) {
      for (std::size_t c = 0; c < plan_.factors[f].columns.size(); ++c) places_.push_back({f, c});
    }
  }

  void make_settings() {
    std::map<std::string, Setting> made;
    const auto setting = [&](const std::string& path) -> Setting& {
      Setting& s = made[path];
      s.path = path;
      return s;
    };
    for (const BaseItem& item : plan_.reading.base) {
      if (item.key == nullptr) continue;
      Setting& s = setting(item.path);
      s.value = item.value;
      s.location = item.location;
      s.written = true;
    }
    for (std::size_t i = 0; i < places_.size(); ++i) {
      Setting& s = setting(column(static_cast<int>(i)).path);
      (is_of_offshoots(i) ? s.branch_column : s.column) = static_cast<int>(i);
    }
    for (const KeySpec& key : plan_.spec.keys()) {
      if (!key.default_value && key.default_key.empty() && !key.required) continue;
      for (const std::string& path : bound_paths(key)) {
        Setting& s = setting(path);
        if (s.written || !key.default_value) continue;
        s.value = key.default_value;
        if (key.is_path) make_absolute(*s.value, plan_.folder);
      }
    }
    for (auto& [path, s] : made) settings_.push_back(std::move(s));
  }

  /// The paths that a key stands for here: one for each name in use for its `*`.
  std::vector<std::string> bound_paths(const KeySpec& key) const {
    const std::size_t count = parts_to_star(key.path);
    if (count == 0) return {key.path};
    const auto pattern = path_parts(key.path);
    std::set<std::string> paths;
    const auto consider = [&](const std::string& path) {
      auto parts = path_parts(path);
      if (parts.size() < count) return;
      parts.resize(count);
      parts.insert(parts.end(), pattern.begin() + static_cast<std::ptrdiff_t>(count),
                   pattern.end());
      std::string bound = fmt::format("{}", fmt::join(parts, "."));
      if (plan_.spec.find(bound) == &key) paths.insert(std::move(bound));
    };
    for (const BaseItem& item : plan_.reading.base) consider(item.path);
    for (const ColumnPlace& place : places_) {
      consider(plan_.factors[place.factor].columns[place.column].path);
    }
    return {paths.begin(), paths.end()};
  }

  void refuse_overrides_of_swept_keys() const {
    for (const Setting& s : settings_) {
      if (s.column < 0 || !s.written || !s.location.file.starts_with("--set ")) continue;
      const auto [factor, index] = places_[static_cast<std::size_t>(s.column)];
      const SweepFactor& f = plan_.factors[factor];
      const SweepColumn& c = f.columns[index];
      const std::string place = Location{f.source->name, c.line(0)}.text();
      throw InputError(fmt::format(
          "{}: {} is varied by the sweep ({}); override its entry there: --set '{}=[{}]'",
          s.location.text(), s.path, place, f.zip ? "sweep.zip" : sweep_text(s.path),
          f.zip ? "{...}, ..." : to_toml(*s.value)));
    }
  }

  int index_of(std::string_view path) const {
    const auto it =
        std::lower_bound(settings_.begin(), settings_.end(), path,
                         [](const Setting& s, std::string_view p) { return s.path < p; });
    if (it == settings_.end() || it->path != path) return -1;
    return static_cast<int>(it - settings_.begin());
  }

  void link_settings() {
    std::map<std::string, int> groups;
    plan_.setting_of_column.resize(places_.size());
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      Setting& s = settings_[i];
      Link link;
      link.key = plan_.spec.find(s.path);
      const KeySpec& key = *link.key;
      for (const Condition& condition : key.when) {
        link.conditions.push_back(index_of(bind_stars(condition.key, key.path, s.path)));
      }
      if (!key.default_key.empty())
        s.alias = index_of(bind_stars(key.default_key, key.path, s.path));
      for (const int c : {s.column, s.branch_column}) {
        if (c >= 0) plan_.setting_of_column[static_cast<std::size_t>(c)] = int(i);
      }
      if (const std::string path = group_path(key, s.path); !path.empty()) {
        const auto [it, is_new] = groups.emplace(path, groups_.size());
        if (is_new) groups_.push_back(make_group(path));
        link.group = it->second;
      }
      links_.push_back(std::move(link));
    }
    words_.resize(settings_.size());
    for (const Link& link : links_) {
      for (std::size_t c = 0; c < link.conditions.size(); ++c) {
        // A value that stands in for another is asked in its place.
        for (int asked = link.conditions[c]; asked >= 0;
             asked = settings_[static_cast<std::size_t>(asked)].alias) {
          const auto& values = link.key->when[c].values;
          words_[static_cast<std::size_t>(asked)].insert(values.begin(), values.end());
        }
      }
    }
  }

  /// The table without which the key has no default; "" for none.
  static std::string group_path(const KeySpec& key, const std::string& path) {
    if (key.with_table) return path.substr(0, path.rfind('.'));
    return first_parts(path, parts_to_star(key.path));
  }

  Group make_group(const std::string& path) const {
    Group group;
    group.path = path;
    for (const BaseItem& item : plan_.reading.base) {
      if (item.path == path || is_below(item.path, path)) group.in_base = true;
    }
    for (std::size_t i = 0; i < places_.size(); ++i) {
      if (is_below(column(int(i)).path, path)) group.columns.push_back(int(i));
    }
    return group;
  }

  /// What a row says to the conditions: for each key of its factor, the word (or none of those
  /// asked for), and whether the key is there.
  void sort_rows_into_classes() {
    int number = 0;
    for (const SweepFactor& factor : plan_.factors) {
      std::vector<std::vector<std::int32_t>> answers;  // by key, by row
      for (const SweepColumn& c : factor.columns) {
        const int setting = plan_.setting_of_column[static_cast<std::size_t>(number++)];
        answers.push_back(answers_of(c, static_cast<std::size_t>(setting)));
      }
      std::erase_if(answers, [](const auto& a) { return a.empty(); });
      std::vector<std::int32_t> of_row;
      std::vector<std::int64_t> samples = {0};
      if (!answers.empty()) {
        samples.clear();
        std::map<std::vector<std::int32_t>, std::int32_t> classes;
        std::vector<std::int32_t> row_answers(answers.size());
        for (std::int64_t row = 0; row < factor.rows; ++row) {
          for (std::size_t i = 0; i < answers.size(); ++i) {
            row_answers[i] = answers[i][static_cast<std::size_t>(row)];
          }
          const auto [it, is_new] = classes.emplace(row_answers, std::int32_t(classes.size()));
          if (is_new) samples.push_back(row);
          of_row.push_back(it->second);
        }
      }
      for (const SweepColumn& c : factor.columns) {
        auto& left_out = left_out_.emplace_back();
        for (std::size_t row = 0; row < c.of_row.size(); ++row) {
          if (c.of_row[row] < 0) left_out.insert(of_row.empty() ? 0 : of_row[row]);
        }
      }
      plan_.classes.push_back(static_cast<std::int32_t>(samples.size()));
      plan_.class_of_row.push_back(std::move(of_row));
      samples_.push_back(std::move(samples));
    }
  }

  /// By row; empty where no condition depends on the key.
  std::vector<std::int32_t> answers_of(const SweepColumn& c, std::size_t setting) const {
    const auto& words = words_[setting];
    const bool partial = std::find(c.of_row.begin(), c.of_row.end(), -1) != c.of_row.end();
    const bool asked_presence =
        partial && (links_[setting].group >= 0 || (links_[setting].key->required));
    if (words.empty() && !asked_presence) return {};
    std::vector<std::int32_t> of_value;
    for (const Value& value : c.values) {
      const auto it = words.find(condition_text(value));
      of_value.push_back(
          it == words.end() ? 0 : static_cast<std::int32_t>(std::distance(words.begin(), it)) + 1);
    }
    std::vector<std::int32_t> answers;
    answers.reserve(c.of_row.size());
    for (const std::int32_t value : c.of_row) {
      answers.push_back(value < 0 ? -1 : of_value[static_cast<std::size_t>(value)]);
    }
    return answers;
  }

  /// The value under the combination at hand; nullptr where there is none.
  const Value* value(std::size_t s) const {
    const Setting& setting = settings_[s];
    for (const int number : {setting.branch_column, setting.column}) {
      if (number < 0 || !is_present(number)) continue;
      const SweepColumn& c = column(number);
      const auto row = static_cast<std::size_t>(row_of(number));
      return &c.values[static_cast<std::size_t>(c.of_row[row])];
    }
    if (setting.value) return &*setting.value;
    if (setting.alias < 0) return nullptr;
    const auto alias = static_cast<std::size_t>(setting.alias);
    return applies(alias) ? value(alias) : nullptr;
  }

  std::int64_t row_of(int column_number) const {
    return rows_[places_[static_cast<std::size_t>(column_number)].factor];
  }

  bool is_present(int column_number) const {
    return column(column_number).of_row[static_cast<std::size_t>(row_of(column_number))] >= 0;
  }

  /// Whether any row of the class at hand leaves the key out; rows of one class may differ in that.
  bool is_left_out(int column_number, const std::vector<std::int32_t>& at) const {
    const auto row_class = at[places_[static_cast<std::size_t>(column_number)].factor];
    return left_out_[static_cast<std::size_t>(column_number)].contains(row_class);
  }

  bool exists(const Group& group) const {
    return group.in_base || std::any_of(group.columns.begin(), group.columns.end(),
                                        [&](int c) { return is_present(c); });
  }

  /// The first condition that fails, -1 when all hold.
  int failing(std::size_t s) const {
    const Link& link = links_[s];
    for (std::size_t c = 0; c < link.conditions.size(); ++c) {
      const int asked = link.conditions[c];
      if (asked < 0 || !applies(static_cast<std::size_t>(asked))) return int(c);
      const Value* v = value(static_cast<std::size_t>(asked));
      const auto& words = link.key->when[c].values;
      if (v == nullptr ||
          std::find(words.begin(), words.end(), condition_text(*v)) == words.end()) {
        return int(c);
      }
    }
    return -1;
  }

  /// Spec::check has made sure that this ends.
  bool applies(std::size_t s) const {
    signed char& known = known_[s];
    if (known < 0) {
      const int group = links_[s].group;
      const bool there = group < 0 || exists(groups_[static_cast<std::size_t>(group)]);
      known = there && failing(s) < 0 ? 1 : 0;
    }
    return known == 1;
  }

  void judge_combinations() {
    const std::size_t count = settings_.size();
    ever_applies_.assign(count, false);
    ever_takes_base_.assign(count, false);
    failure_.assign(count, "");
    row_failures_.resize(places_.size());
    std::map<std::vector<bool>, std::int32_t> variations;
    std::vector<std::int32_t> at(plan_.factors.size(), 0);
    rows_.resize(plan_.factors.size());
    while (true) {
      for (std::size_t f = 0; f < at.size(); ++f) {
        rows_[f] = samples_[f][static_cast<std::size_t>(at[f])];
      }
      known_.assign(count, -1);
      std::vector<bool> outcome(count);
      for (std::size_t s = 0; s < count; ++s) {
        outcome[s] = applies(s);
        judge(s, at, outcome[s]);
      }
      for (std::size_t c = 0; c < places_.size(); ++c) judge_row(c, at, outcome);
      for (Group& group : groups_) group.always = group.always && exists(group);
      const auto [it, is_new] = variations.emplace(outcome, std::int32_t(variations.size()));
      if (is_new) plan_.variations.push_back(outcome);
      plan_.variation_of_combination.push_back(it->second);
      // The next combination, last factor fastest.
      std::size_t f = at.size();
      while (f > 0 && ++at[f - 1] == plan_.classes[f - 1]) at[--f] = 0;
      if (f == 0) return;
    }
  }

  void judge(std::size_t s, const std::vector<std::int32_t>& at, bool outcome) {
    const Setting& setting = settings_[s];
    if (!outcome) {
      if (failure_[s].empty() && setting.written) failure_[s] = failure_text(s);
      return;
    }
    ever_applies_[s] = true;
    if (setting.column < 0 || is_left_out(setting.column, at)) ever_takes_base_[s] = true;
    if (links_[s].key->required && value(s) == nullptr) throw missing(s);
  }

  /// Whether what the row writes applies to a member with that row.
  void judge_row(std::size_t c, const std::vector<std::int32_t>& at,
                 const std::vector<bool>& outcome) {
    const auto setting = static_cast<std::size_t>(plan_.setting_of_column[c]);
    auto& failures = row_failures_[c];
    const auto row_class = static_cast<std::size_t>(at[places_[c].factor]);
    if (failures.size() <= row_class) failures.resize(row_class + 1);
    RowFailure& failure = failures[row_class];
    if (outcome[setting]) {
      failure.applies = true;
    } else if (failure.text.empty() && !failure.applies) {
      failure.text = failure_text(setting);
    }
  }

  /// Why a key does not apply under the combination at hand.
  std::string failure_text(std::size_t s) const {
    const int failed = failing(s);
    if (failed < 0) return "belongs to a table that is not there";
    const auto c = static_cast<std::size_t>(failed);
    const KeySpec& key = *links_[s].key;
    const std::string asked = bind_stars(key.when[c].key, key.path, settings_[s].path);
    const KeySpec& asked_key = asked_spec(key.when[c].key, asked);
    std::string text = fmt::format("belongs to {} = {}, but here ", asked,
                                   words_text(asked_key, key.when[c].values));
    const int index = links_[s].conditions[c];
    const Value* v = index >= 0 && applies(static_cast<std::size_t>(index))
                         ? value(static_cast<std::size_t>(index))
                         : nullptr;
    if (v == nullptr) return text + asked + " is not set";
    text += fmt::format("{} is {}", asked, to_toml(*v));
    const Setting& other = settings_[static_cast<std::size_t>(index)];
    if (other.written && other.location.file.starts_with("--set ")) {
      text += fmt::format(" ({})", other.location.text());
    }
    return text;
  }

  const KeySpec& asked_spec(const std::string& pattern, const std::string& bound) const {
    if (const KeySpec* key = plan_.spec.find(bound)) return *key;
    const auto keys = plan_.spec.keys();
    return *std::find_if(keys.begin(), keys.end(),
                         [&](const KeySpec& k) { return k.path == pattern; });
  }

  InputError missing(std::size_t s) const {
    const Setting& setting = settings_[s];
    const KeySpec& key = *links_[s].key;
    std::string where;
    std::optional<Location> place;
    for (std::size_t c = 0; c < key.when.size(); ++c) {
      if (is_implied(key, c)) continue;
      const auto asked = static_cast<std::size_t>(links_[s].conditions[c]);
      where += fmt::format("{} {} = {}", where.empty() ? " where" : " and", settings_[asked].path,
                           to_toml(*value(asked)));
      for (const int number : {settings_[asked].column, settings_[asked].branch_column}) {
        if (number >= 0 && is_present(number)) place = swept_location(number);
      }
    }
    if (setting.column >= 0) place = swept_location(setting.column);
    if (!place) place = table_location(setting.path);
    return InputError(fmt::format("{}: {} is missing{}: expected {}", place->text(), setting.path,
                                  where, expected_text(key)));
  }

  /// Whether another condition of the key asks for a key that has this condition itself.
  bool is_implied(const KeySpec& key, std::size_t c) const {
    return std::any_of(key.when.begin(), key.when.end(), [&](const Condition& other) {
      const KeySpec* asked = plan_.spec.find(other.key);
      return asked != nullptr &&
             std::any_of(asked->when.begin(), asked->when.end(),
                         [&](const Condition& w) { return w.key == key.when[c].key; });
    });
  }

  Location swept_location(int number) const {
    const SweepFactor& factor = plan_.factors[places_[static_cast<std::size_t>(number)].factor];
    return factor.location(column(number), row_of(number));
  }

  Location table_location(std::string_view path) const {
    const Location* nearest = nullptr;
    std::size_t length = 0;
    for (const BaseItem& item : plan_.reading.base) {
      if (item.key == nullptr && is_below(path, item.path) && item.path.size() >= length) {
        nearest = &item.location;
        length = item.path.size();
      }
    }
    return nearest != nullptr ? *nearest : Location{plan_.table.file, 0};
  }

  void refuse_keys_that_never_apply() const {
    for (const BaseItem& item : plan_.reading.base) {
      if (item.key == nullptr) continue;
      const auto s = static_cast<std::size_t>(index_of(item.path));
      if (ever_applies_[s]) continue;
      throw InputError(fmt::format("{}: {}: {}", item.location.text(), item.path, failure_[s]));
    }
    for (std::size_t c = 0; c < places_.size(); ++c) {
      const SweepFactor& factor = plan_.factors[places_[c].factor];
      const auto& of_row = plan_.class_of_row[places_[c].factor];
      const SweepColumn& col = column(int(c));
      for (std::int64_t row = 0; row < factor.rows; ++row) {
        const auto r = static_cast<std::size_t>(row);
        const auto row_class = of_row.empty() ? 0U : static_cast<std::size_t>(of_row[r]);
        const RowFailure& failure = row_failures_[c][row_class];
        if (failure.applies || col.of_row[r] < 0) continue;
        throw InputError(
            fmt::format("{}: {}: {}", factor.location(col, row).text(), col.path, failure.text));
      }
    }
  }

  void write_order() {
    auto& order = plan_.table.order;
    std::set<std::string_view> seen;
    for (const BaseItem& item : plan_.reading.base) {
      order.push_back({item.path, item.key == nullptr, item.location});
      seen.insert(item.path);
    }
    for (std::size_t c = 0; c < places_.size(); ++c) {
      const SweepColumn& col = column(int(c));
      if (!seen.insert(col.path).second) continue;
      order.push_back({col.path, false, {}});
    }
    std::vector<std::pair<const KeySpec*, std::string_view>> defaults;
    for (std::size_t s = 0; s < settings_.size(); ++s) {
      if (!seen.contains(settings_[s].path))
        defaults.emplace_back(links_[s].key, settings_[s].path);
    }
    std::stable_sort(defaults.begin(), defaults.end(),  // by registration: keys() is contiguous
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [key, path] : defaults) order.push_back({std::string(path), false, {}});
  }

  void choose_base() {
    for (std::size_t s = 0; s < settings_.size(); ++s) {
      const Setting& setting = settings_[s];
      const int group = links_[s].group;
      const bool always = group < 0 || groups_[static_cast<std::size_t>(group)].in_base ||
                          groups_[static_cast<std::size_t>(group)].always;
      plan_.base_applies.push_back(setting.written || ever_applies_[s]);
      // A default below a name that only some members have cannot stand in the base: it would give
      // the name to all of them.
      plan_.resolved.push_back(setting.value &&
                               (setting.written || (ever_takes_base_[s] && always)));
    }
  }

  struct RowFailure {
    bool applies = false;
    std::string text;
  };

  Experiment::Plan& plan_;
  std::vector<Setting>& settings_;
  std::vector<ColumnPlace> places_;
  std::vector<Link> links_;  ///< by setting
  std::vector<Group> groups_;
  std::vector<std::set<std::string>> words_;        ///< by setting: what conditions ask of it
  std::vector<std::vector<std::int64_t>> samples_;  ///< by factor, by class: a row of it
  std::vector<std::set<std::int32_t>> left_out_;    ///< by column: classes with rows without it
  std::vector<std::int64_t> rows_;                  ///< the combination at hand
  mutable std::vector<signed char> known_;          ///< by setting: applies; -1 not yet known
  std::vector<bool> ever_applies_, ever_takes_base_;
  std::vector<std::string> failure_;
  std::vector<std::vector<RowFailure>> row_failures_;  ///< by column, by class
};

namespace {

/// The value that each member has of each swept key, and those values numbered by first appearance.
/// Keys that only offshoots vary come last.
class SweptValues {
 public:
  explicit SweptValues(Experiment::Plan& plan)
      : plan_(plan), unowned_(std::shared_ptr<void>(), &plan.table) {
    gather_keys();
  }

  void fill() {
    std::vector<std::int64_t> rows(plan_.factors.size(), 0);
    for (std::size_t member = 0; member < static_cast<std::size_t>(plan_.members); ++member) {
      const auto variation =
          static_cast<std::size_t>(plan_.variation_of_combination[plan_.combination(rows)]);
      const std::vector<bool>& applies = plan_.variations[variation];
      for (std::size_t k = 0; k < keys_.size(); ++k) {
        plan_.swept[k].value_of_member[member] =
            applies[keys_[k].setting] ? number_of(keys_[k], plan_.swept[k], rows) : -1;
      }
      for (std::size_t f = rows.size(); f > 0; --f) {
        if (++rows[f - 1] < plan_.factors[f - 1].rows) break;
        rows[f - 1] = 0;
      }
    }
  }

 private:
  struct Column {
    const SweepColumn* column = nullptr;
    std::size_t factor = 0;
    std::int32_t value(const std::vector<std::int64_t>& rows) const {
      return column == nullptr ? -1 : column->of_row[static_cast<std::size_t>(rows[factor])];
    }
  };
  struct Key {
    std::size_t setting = 0;
    Column own;
    Column branch;
    /// The own column's values first, then those taken where it has none: what a zip table leaves
    /// out, and what offshoots set.
    ValueIndex values;
    std::vector<std::int32_t> number;  ///< of each value, -1 before its first appearance
  };

  void gather_keys() {
    std::map<std::size_t, std::size_t> key_of_setting;
    const bool with_offshoots = !plan_.offshoots.empty();
    for (const bool of_offshoots : {false, true}) {
      std::size_t number = 0;
      for (std::size_t f = 0; f < plan_.factors.size(); ++f) {
        for (const SweepColumn& column : plan_.factors[f].columns) {
          const auto setting = static_cast<std::size_t>(plan_.setting_of_column[number++]);
          if ((with_offshoots && f == 0) != of_offshoots) continue;
          const auto [it, is_new] = key_of_setting.emplace(setting, keys_.size());
          if (is_new) {
            plan_.swept.push_back({column.path, {}, {}});
            plan_.swept.back().value_of_member.resize(static_cast<std::size_t>(plan_.members));
            keys_.push_back({setting, {}, {}, {}, {}});
          }
          Key& key = keys_[it->second];
          (of_offshoots ? key.branch : key.own) = {&column, f};
        }
      }
    }
    for (Key& key : keys_) {
      if (key.own.column == nullptr) continue;
      const SweepColumn& column = *key.own.column;
      key.number.assign(column.values.size(), -1);
      const bool partial =
          std::find(column.of_row.begin(), column.of_row.end(), -1) != column.of_row.end();
      if (!partial && key.branch.column == nullptr) continue;
      for (const Value& value : column.values) key.values.find_or_add(value);
    }
  }

  /// The number of a value that does not come from the key's own column.
  std::int32_t other_number(Key& key, SweptKey& swept, const Value& value) {
    const std::int32_t index = key.values.find_or_add(value);
    key.number.resize(key.values.values().size(), -1);
    return numbered(key, swept, static_cast<std::size_t>(index), value);
  }

  static std::int32_t numbered(Key& key, SweptKey& swept, std::size_t index, const Value& value) {
    std::int32_t& number = key.number[index];
    if (number < 0) {
      number = static_cast<std::int32_t>(swept.values.size());
      swept.values.push_back(value);
    }
    return number;
  }

  std::int32_t number_of(Key& key, SweptKey& swept, const std::vector<std::int64_t>& rows) {
    if (const std::int32_t value = key.branch.value(rows); value >= 0) {
      return other_number(key, swept, key.branch.column->values[static_cast<std::size_t>(value)]);
    }
    if (const std::int32_t value = key.own.value(rows); value >= 0) {
      const auto index = static_cast<std::size_t>(value);
      return numbered(key, swept, index, key.own.column->values[index]);
    }
    if (const auto& base = plan_.table.settings[key.setting].value) {
      return other_number(key, swept, *base);
    }
    const Settings settings = plan_.settings_of(unowned_, rows);
    return settings.has(swept.path) ? other_number(key, swept, settings.value(swept.path)) : -1;
  }

  Experiment::Plan& plan_;
  std::shared_ptr<const SettingsTable> unowned_;
  std::vector<Key> keys_;
};

}  // namespace

std::size_t Experiment::Plan::combination(const std::vector<std::int64_t>& rows) const {
  std::size_t number = 0;
  for (std::size_t f = 0; f < rows.size(); ++f) {
    number *= static_cast<std::size_t>(classes[f]);
    if (!class_of_row[f].empty()) {
      number += static_cast<std::size_t>(class_of_row[f][static_cast<std::size_t>(rows[f])]);
    }
  }
  return number;
}

std::vector<std::int64_t> Experiment::Plan::rows_of(std::int64_t member) const {
  std::vector<std::int64_t> rows(factors.size());
  for (std::size_t f = factors.size(); f > 0; --f) {
    rows[f - 1] = member % factors[f - 1].rows;
    member /= factors[f - 1].rows;
  }
  return rows;
}

const OffshootRow* Experiment::Plan::offshoot_row(std::int64_t member) const {
  if (member < product) return nullptr;
  return &offshoot_rows[static_cast<std::size_t>(member / product)];
}

Settings Experiment::Plan::settings_of(const std::shared_ptr<const SettingsTable>& owner,
                                       const std::vector<std::int64_t>& rows) const {
  std::vector<Settings::Swept> entries;
  entries.reserve(setting_of_column.size());
  for (std::size_t f = 0; f < factors.size(); ++f) {
    const auto row = static_cast<std::size_t>(rows[f]);
    for (const SweepColumn& column : factors[f].columns) {
      const std::int32_t value = column.of_row[row];
      const Value* shared = value < 0 ? nullptr : &column.values[static_cast<std::size_t>(value)];
      const ConfigSource& source = factors[f].source_of(column, rows[f]);
      entries.push_back({shared, &source.name, column.line(rows[f])});
    }
  }
  const auto variation = static_cast<std::size_t>(variation_of_combination[combination(rows)]);
  return {owner, &variations[variation], std::move(entries)};
}

std::shared_ptr<const Experiment::Plan> Experiment::Plan::make(
    std::string_view toml, const std::string& name, const std::filesystem::path& folder,
    const std::vector<std::string>& overrides, const Spec& spec,
    const std::vector<ExperimentOverlay>& overlays) {
  spec.check();
  auto plan = std::make_shared<Plan>();
  plan->spec = spec;
  plan->folder = folder;
  plan->table.file = name;
  plan->reading = read_sources(toml, name, folder, overrides, plan->spec, overlays);
  plan->factors = read_factors(plan->reading.sweep, plan->spec);
  for (const SweepFactor& factor : plan->factors) plan->product *= factor.rows;
  plan->members = plan->product;
  if (Offshoots offshoots = read_offshoots(plan->reading.offshoots, plan->product);
      !offshoots.tables.empty()) {
    plan->members *= offshoots.factor.rows;
    plan->factors.insert(plan->factors.begin(), std::move(offshoots.factor));
    plan->offshoots = std::move(offshoots.tables);
    plan->offshoot_rows = std::move(offshoots.rows);
  }
  ExperimentPlanner(*plan).run();
  plan->reading.base.clear();
  plan->reading.sweep.clear();
  plan->reading.offshoots.clear();
  for (ConfigSource& source : plan->reading.sources) source.root = {};
  SweptValues(*plan).fill();
  return plan;
}

}  // namespace manyfold
