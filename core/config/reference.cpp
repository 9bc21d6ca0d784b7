// Words the documentation of keys from the same table that validates them.
#include "core/config/reference.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/config/validate.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

std::string default_text(const KeySpec& key) {
  if (key.default_value) return to_toml(*key.default_value);
  if (!key.default_key.empty()) return "that of " + key.default_key;
  return key.required ? "required" : "none";
}

std::string condition_text(const Spec& spec, const KeySpec& key) {
  std::string text;
  for (const Condition& condition : key.when) {
    const auto keys = spec.keys();
    const auto asked = std::find_if(keys.begin(), keys.end(), [&](const KeySpec& other) {
      return other.path == condition.key;
    });
    const bool quote = asked == keys.end() || accepts(asked->type, Type::text);
    std::string words;
    for (const std::string& word : condition.values) {
      if (!words.empty()) words += " or ";
      words += quote ? to_toml(word) : word;
    }
    text += fmt::format("{}{} = {}", text.empty() ? "" : " and ", condition.key, words);
  }
  return text;
}

/// Text for a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

std::string code(std::string_view text) {
  return text.empty() ? "" : fmt::format("`{}`", cell(text));
}

std::string table_of(const KeySpec& key) {
  const std::size_t dot = key.path.find('.');
  return dot == std::string::npos ? "" : key.path.substr(0, dot);
}

std::string notes(const KeySpec& key) {
  std::string text;
  if (!key.names.empty()) text += fmt::format(" Names: {}.", fmt::join(key.names, ", "));
  if (!key.sweepable) text += " Cannot be swept.";
  return text;
}

std::string key_text(const Spec& spec, const KeySpec& key) {
  std::string text = key.path + "\n";
  if (!key.doc.empty()) text += fmt::format("    {}\n", key.doc);
  text += fmt::format("    accepts: {}\n", expected_text(key));
  if (key.unit != "1") text += fmt::format("    unit: {}\n", key.unit);
  text += fmt::format("    default: {}\n", default_text(key));
  if (!key.when.empty()) text += fmt::format("    where: {}\n", condition_text(spec, key));
  if (!key.names.empty()) text += fmt::format("    names: {}\n", fmt::join(key.names, ", "));
  if (!key.sweepable) text += "    cannot be swept\n";
  return text;
}

}  // namespace

std::string reference_markdown(const Spec& spec) {
  std::vector<std::string> tables;
  for (const KeySpec& key : spec.keys()) {
    const std::string table = table_of(key);
    if (std::find(tables.begin(), tables.end(), table) == tables.end()) tables.push_back(table);
  }
  std::stable_partition(tables.begin(), tables.end(), [](const auto& t) { return t.empty(); });
  std::string text = "# Keys of an experiment\n";
  for (const std::string& table : tables) {
    text += table.empty() ? "\n## At the top\n" : fmt::format("\n## `[{}]`\n", table);
    text += "\n| key | accepts | unit | default | where | meaning |\n|---|---|---|---|---|---|\n";
    for (const KeySpec& key : spec.keys()) {
      if (table_of(key) != table) continue;
      const bool word = key.required || !key.default_key.empty() || !key.default_value;
      text += fmt::format("| {} | {} | {} | {} | {} | {}{} |\n", code(key.path),
                          cell(expected_text(key)), cell(key.unit),
                          word ? cell(default_text(key)) : code(default_text(key)),
                          code(condition_text(spec, key)), cell(key.doc), cell(notes(key)));
    }
  }
  return text;
}

std::string reference_text(const Spec& spec, std::string_view path) {
  if (const KeySpec* key = spec.find(path)) return key_text(spec, *key);
  std::string text;
  for (const KeySpec& key : spec.keys()) {
    const bool below = path.empty() || key.path == path ||
                       (key.path.size() > path.size() && key.path.starts_with(path) &&
                        key.path[path.size()] == '.');
    if (!below) continue;
    if (!text.empty()) text += '\n';
    text += key_text(spec, key);
  }
  if (text.empty()) throw InputError(fmt::format("{}: {}", path, unknown_text(spec, path)));
  return text;
}

}  // namespace manyfold
