// Finds keys by path, and the nearest known one where there is none.
#include "core/config/spec.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>

#include <fmt/format.h>

#include "core/config/validate.hpp"

namespace manyfold {
namespace {

constexpr std::size_t far = std::numeric_limits<std::size_t>::max();

/// Edit distance with neighbours swapped counted once (optimal string alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

/// How far `found` is from `meant`: a third of the letters may differ, or the end be left out.
std::size_t word_cost(std::string_view found, std::string_view meant) {
  constexpr std::size_t longest = 100;
  if (found.size() > longest) return far;
  const std::size_t cost = distance(found, meant);
  const std::size_t length = std::max(found.size(), meant.size());
  if (cost <= std::max<std::size_t>(1, length / 3) && cost < length) return cost;
  if (found.size() >= 3 && meant.starts_with(found)) return 3;
  return far;
}

bool matches_name(const KeySpec& key, std::string_view name, bool last_star) {
  if (name.empty()) return false;
  if (!last_star || key.names.empty()) return true;
  return std::find(key.names.begin(), key.names.end(), name) != key.names.end();
}

/// Whether the first `count` parts of a registered path match those of `parts`.
bool matches(const KeySpec& key, const std::vector<std::string_view>& pattern,
             const std::vector<std::string_view>& parts, std::size_t count) {
  const auto last = static_cast<std::size_t>(
      std::find(pattern.rbegin(), pattern.rend(), "*").base() - pattern.begin());
  for (std::size_t i = 0; i < count; ++i) {
    if (pattern[i] == "*" ? !matches_name(key, parts[i], i + 1 == last) : pattern[i] != parts[i]) {
      return false;
    }
  }
  return true;
}

std::string join(const std::vector<std::string_view>& parts) {
  return fmt::format("{}", fmt::join(parts, "."));
}

}  // namespace

std::vector<std::string_view> path_parts(std::string_view path) {
  std::vector<std::string_view> parts;
  if (path.empty()) return parts;
  for (std::size_t start = 0;;) {
    const std::size_t end = path.find('.', start);
    parts.push_back(path.substr(start, end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

std::string bind_stars(std::string_view condition, std::string_view pattern,
                       std::string_view path) {
  const auto pattern_parts = path_parts(pattern), names = path_parts(path);
  std::vector<std::string_view> stars;
  for (std::size_t i = 0; i < pattern_parts.size() && i < names.size(); ++i) {
    if (pattern_parts[i] == "*") stars.push_back(names[i]);
  }
  auto parts = path_parts(condition);
  std::size_t star = 0;
  for (std::string_view& part : parts) {
    if (part == "*" && star < stars.size()) part = stars[star++];
  }
  return join(parts);
}

std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> words) {
  std::size_t best = far;
  std::optional<std::string> nearest;
  for (const std::string& candidate : words) {
    if (const std::size_t cost = word_cost(word, candidate); cost < best) {
      best = cost;
      nearest = candidate;
    }
  }
  return nearest;
}

void Spec::add(KeySpec key) {
  const auto mistake = [&](std::string_view what) {
    return std::logic_error(fmt::format("spec: {} {}", key.path, what));
  };
  const auto parts = path_parts(key.path);
  if (parts.empty() || std::find(parts.begin(), parts.end(), "") != parts.end()) {
    throw mistake("is not a path");
  }
  for (const KeySpec& other : keys_) {
    if (other.path == key.path) throw mistake("is registered twice");
    if (other.path.starts_with(key.path + ".") || key.path.starts_with(other.path + ".")) {
      throw mistake(fmt::format("is a key and a table: {}", other.path));
    }
  }
  if (key.with_table && parts.size() < 2) throw mistake("stands in no table");
  if (key.default_value) {
    if (!key.default_key.empty()) throw mistake("has two defaults");
    try {
      key.default_value = validated(key, *key.default_value);
    } catch (const std::exception& error) {
      throw mistake(fmt::format("has a bad default: {}", error.what()));
    }
  }
  if (std::find(parts.begin(), parts.end(), "*") == parts.end()) {
    exact_.emplace(key.path, keys_.size());
  } else {
    patterns_.push_back(keys_.size());
  }
  keys_.push_back(std::move(key));
}

void Spec::also(std::string_view path, const Condition& where, std::string_view doc) {
  const auto key = std::find_if(keys_.begin(), keys_.end(),
                                [&](const KeySpec& known) { return known.path == path; });
  if (key == keys_.end()) throw std::logic_error(fmt::format("spec: {} is no key", path));
  const auto condition =
      std::find_if(key->when.begin(), key->when.end(),
                   [&](const Condition& known) { return known.key == where.key; });
  if (condition == key->when.end()) {
    throw std::logic_error(fmt::format("spec: {} has no condition on {}", path, where.key));
  }
  condition->values.insert(condition->values.end(), where.values.begin(), where.values.end());
  if (!doc.empty()) key->doc += fmt::format(" {}", doc);
}

const KeySpec* Spec::find(std::string_view path) const {
  if (const auto it = exact_.find(path); it != exact_.end()) return &keys_[it->second];
  if (patterns_.empty()) return nullptr;
  const auto parts = path_parts(path);
  for (const std::size_t index : patterns_) {
    const auto pattern = path_parts(keys_[index].path);
    if (pattern.size() == parts.size() && matches(keys_[index], pattern, parts, parts.size())) {
      return &keys_[index];
    }
  }
  return nullptr;
}

std::optional<std::string> Spec::nearest(std::string_view path) const {
  const auto parts = path_parts(path);
  if (parts.empty()) return std::nullopt;
  std::size_t best = far;
  std::optional<std::string> result;
  std::size_t same_word = 0;
  std::optional<std::string> moved;  // the last word is right and stands in another table
  for (const KeySpec& key : keys_) {
    auto pattern = path_parts(key.path);
    if (pattern.back() == parts.back()) {
      ++same_word;
      moved = key.path;
    }
    if (pattern.size() == parts.size()) {
      std::size_t cost = 0;
      const auto last_star = std::find(pattern.rbegin(), pattern.rend(), "*");
      const auto last = static_cast<std::size_t>(last_star.base() - pattern.begin());
      std::string name;
      for (std::size_t i = 0; i < parts.size() && cost != far; ++i) {
        if (pattern[i] == "*" && matches_name(key, parts[i], i + 1 == last)) {
          pattern[i] = parts[i];
          continue;
        }
        if (pattern[i] == "*") {
          name = nearest_word(parts[i], key.names).value_or("");
          pattern[i] = name;
        }
        const std::size_t part = pattern[i] == parts[i] ? 0 : word_cost(parts[i], pattern[i]);
        cost = part == far ? far : cost + part;
      }
      if (cost < best) {
        best = cost;
        result = join(pattern);
      }
    } else if (path.size() <= 100 && key.path.find('*') == std::string::npos) {
      // A dot that is missing or too much.
      if (const std::size_t cost = distance(path, key.path); cost <= 2 && cost < best) {
        best = cost;
        result = key.path;
      }
    }
  }
  if (result) return result;
  if (same_word == 1 && moved->find('*') == std::string::npos) return moved;
  return std::nullopt;
}

std::span<const KeySpec> Spec::keys() const { return keys_; }

bool Spec::is_table(std::string_view path) const {
  if (path.empty()) return true;
  const auto parts = path_parts(path);
  return std::any_of(keys_.begin(), keys_.end(), [&](const KeySpec& key) {
    const auto pattern = path_parts(key.path);
    return pattern.size() > parts.size() && matches(key, pattern, parts, parts.size());
  });
}

std::vector<std::string> Spec::children(std::string_view table) const {
  const auto parts = path_parts(table);
  std::vector<std::string> names;
  const auto add = [&](std::string_view name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
  };
  for (const KeySpec& key : keys_) {
    const auto pattern = path_parts(key.path);
    if (pattern.size() <= parts.size() || !matches(key, pattern, parts, parts.size())) continue;
    const auto rest = pattern.begin() + static_cast<std::ptrdiff_t>(parts.size());
    const bool last_star = *rest == "*" && std::find(rest + 1, pattern.end(), "*") == pattern.end();
    if (last_star && !key.names.empty()) {
      for (const std::string& name : key.names) add(name);
    } else {
      add(*rest);
    }
  }
  return names;
}

bool Spec::may_offshoots_set(std::string_view path) const {
  return std::any_of(
      offshoot_paths_.begin(), offshoot_paths_.end(), [&](const std::string& allowed) {
        return path == allowed || (path.starts_with(allowed) && path[allowed.size()] == '.');
      });
}

void Spec::check() const {
  const auto depends_on = [&](const KeySpec& key) {
    std::vector<std::string> others;
    for (const Condition& condition : key.when) others.push_back(condition.key);
    if (!key.default_key.empty()) others.push_back(key.default_key);
    return others;
  };
  std::set<const KeySpec*> done, open;
  const std::function<void(const KeySpec&)> visit = [&](const KeySpec& key) {
    if (done.contains(&key)) return;
    if (!open.insert(&key).second) {
      throw std::logic_error(fmt::format("spec: {} depends on itself", key.path));
    }
    for (const std::string& path : depends_on(key)) {
      const KeySpec* other = find(path);
      if (other == nullptr) {
        const auto it = std::find_if(keys_.begin(), keys_.end(),
                                     [&](const KeySpec& k) { return k.path == path; });
        other = it == keys_.end() ? nullptr : &*it;
      }
      if (other == nullptr) {
        throw std::logic_error(
            fmt::format("spec: {} depends on {}, which is no key", key.path, path));
      }
      visit(*other);
    }
    open.erase(&key);
    done.insert(&key);
  };
  for (const KeySpec& key : keys_) visit(key);
}

}  // namespace manyfold
