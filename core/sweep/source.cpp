// Gathers what the user wrote: the file, then the overrides, each with its place.
#include "core/sweep/source.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/config/validate.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

std::string joined(const std::string& table, const std::string& key) {
  return table.empty() ? key : table + "." + key;
}

[[noreturn]] void fail(const std::string& place, std::string_view path, std::string_view what) {
  throw InputError(fmt::format("{}: {}: {}", place, path, what));
}

std::string table_text(const Spec& spec, const std::string& path) {
  return fmt::format("a table with {}", fmt::join(spec.children(path), ", "));
}

/// Keys and tables of the base of one source, in written order, not yet judged.
struct Found {
  std::string path;
  const TomlNode* node;
  int line;
  int column;
};

void collect(const TomlTable& table, const std::string& prefix, const ConfigSource& source,
             const Spec& spec, std::vector<Found>& found) {
  for (const TomlEntry& entry : table) {
    const std::string path = joined(prefix, entry.key);
    if (entry.key.empty() || entry.key.find('.') != std::string::npos) {
      throw InputError(fmt::format("{}: {}: found a quoted key, expected parts without dots",
                                   Location{source.name, entry.line}.text(),
                                   joined(prefix, toml_key(entry.key))));
    }
    if (path == "sweep" || path == "offshoots") continue;
    found.push_back({path, &entry.node, entry.line, entry.column});
    const TomlTable* inner = entry.node.table();
    if (inner != nullptr && spec.find(path) == nullptr) {
      collect(*inner, path, source, spec, found);
    }
  }
}

std::vector<BaseItem> read_base(const ConfigSource& source, const Spec& spec) {
  std::vector<Found> found;
  collect(*source.root.table(), "", source, spec, found);
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::vector<BaseItem> items;
  for (const Found& f : found) {
    const Location location{source.name, f.line};
    const KeySpec* key = spec.find(f.path);
    if (key != nullptr) {
      items.push_back({f.path, key, read_value(*key, *f.node, f.path, source), location});
      continue;
    }
    if (const TomlTable* table = f.node->table()) {
      // A table that is unknown is told by its first key, which says more.
      if (!spec.is_table(f.path) && table->empty()) {
        fail(location.text(), f.path, unknown_text(spec, f.path));
      }
      items.push_back({f.path, nullptr, std::nullopt, location});
      continue;
    }
    if (spec.is_table(f.path)) {
      throw InputError(
          found_text(location.text(), f.path, describe(*f.node), table_text(spec, f.path)));
    }
    fail(location.text(), f.path, unknown_text(spec, f.path));
  }
  return items;
}

/// The `=` that ends the key, outside quotes.
std::size_t find_equals(std::string_view text) {
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quote == '\0') {
      if (text[i] == '=') return i;
      if (text[i] == '"' || text[i] == '\'') quote = text[i];
    } else if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text[i] == quote) {
      quote = '\0';
    }
  }
  return std::string_view::npos;
}

/// `a.b=v` as the tree {a = {b = v}}. Parts of the key that are quoted paths are taken apart, but
/// for those of the sweep, where they mean the same.
ConfigSource read_override(const std::string& text) {
  ConfigSource source;
  source.name = "--set " + text;
  std::error_code ignored;
  source.folder = std::filesystem::current_path(ignored);
  check_text(text, "--set");
  const std::size_t equals = find_equals(text);
  if (equals == std::string::npos) {
    throw InputError(source.name + ": found no '=', expected KEY=VALUE");
  }
  const std::string_view key = std::string_view(text).substr(0, equals);
  if (key.find_first_not_of(" \t") == std::string_view::npos) {
    throw InputError(source.name + ": found no key, expected KEY=VALUE");
  }
  std::vector<std::string> parts;
  for (const std::string& part : read_key(key)) {
    for (const std::string_view piece : path_parts(part)) parts.emplace_back(piece);
  }
  if (parts.empty() || std::find(parts.begin(), parts.end(), "") != parts.end()) {
    throw InputError(
        fmt::format("{}: found {}, expected a key such as optimizer.kind", source.name, key));
  }
  if (parts.size() == 1 && parts.front() == "sweep") {
    throw InputError(source.name +
                     ": found the whole sweep, expected one entry of it: sweep.\"seed\"=[0, 1]");
  }
  TomlNode node = read_value_or_text(std::string_view(text).substr(equals + 1));
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    TomlTable table;
    table.push_back({*part, 0, 0, std::move(node)});
    node = TomlNode{std::move(table), 0};
  }
  source.root = std::move(node);
  return source;
}

void replace_base(std::vector<BaseItem>& base, std::vector<BaseItem> items) {
  for (BaseItem& item : items) {
    const auto it = std::find_if(base.begin(), base.end(),
                                 [&](const BaseItem& b) { return b.path == item.path; });
    if (it == base.end()) {
      base.push_back(std::move(item));
    } else if (item.key != nullptr) {
      *it = std::move(item);
    }
  }
}

std::vector<SweepItem> read_sweep(const ConfigSource& source, const Spec& spec) {
  std::vector<SweepItem> items;
  for (const TomlEntry& entry : *source.root.table()) {
    if (entry.key != "sweep") continue;
    const TomlTable* table = entry.node.table();
    const std::string place = Location{source.name, entry.line}.text();
    if (table == nullptr) {
      throw InputError(found_text(place, "sweep", describe(entry.node), "a table of keys to vary"));
    }
    for (const SweepLeaf& leaf : sweep_leaves(*table, source, spec, true)) {
      items.push_back({leaf.path, leaf.key, leaf.node, &source, leaf.line});
    }
    if (items.empty()) {
      throw InputError(found_text(place, "sweep", "an empty table", "at least one key to vary"));
    }
  }
  return items;
}

/// Keys of an offshoot that are no keys of the experiment.
bool is_own_key(std::string_view key) { return key == "at" || key == "steps"; }

[[noreturn]] void refuse_in_offshoots(const OffshootItem& item, const Spec& spec) {
  fail(item.location().text(), item.label(),
       fmt::format("cannot be set by an offshoot, which goes on with the network, the problem and "
                   "the probes of its parent; expected keys of {}",
                   fmt::join(spec.offshoot_paths(), ", ")));
}

/// The keys below a table of [offshoots], which may be quoted paths, dotted or tables.
void collect_offshoot(const TomlTable& table, const std::string& prefix, const std::string& name,
                      const ConfigSource& source, const Spec& spec,
                      std::vector<OffshootItem>& items) {
  for (const TomlEntry& entry : table) {
    const std::string path = joined(prefix, entry.key);
    OffshootItem item{name, path, spec.find(path), &entry.node, &source, entry.line};
    const std::string place = item.location().text();
    if (path == "offshoots") fail(place, item.label(), "an offshoot cannot have offshoots");
    if (!is_own_key(path) && item.key == nullptr) {
      const TomlTable* inner = entry.node.table();
      if (inner != nullptr && !inner->empty()) {
        collect_offshoot(*inner, path, name, source, spec, items);
        continue;
      }
      if (!spec.is_table(path)) fail(place, item.label(), unknown_text(spec, path));
      throw InputError(
          found_text(place, item.label(), describe(entry.node),
                     fmt::format("a table with {}", fmt::join(spec.children(path), ", "))));
    }
    if (item.key != nullptr && !(spec.may_offshoots_set(path) && item.key->sweepable)) {
      refuse_in_offshoots(item, spec);
    }
    const auto first = std::find_if(items.begin(), items.end(), [&](const OffshootItem& other) {
      return other.offshoot == name && other.path == path;
    });
    if (first != items.end()) {
      fail(place, item.label(),
           fmt::format("written twice, first in {}", first->location().text()));
    }
    items.push_back(std::move(item));
  }
}

std::vector<OffshootItem> read_offshoots(const ConfigSource& source, const Spec& spec) {
  std::vector<OffshootItem> items;
  for (const TomlEntry& entry : *source.root.table()) {
    if (entry.key != "offshoots") continue;
    const std::string place = Location{source.name, entry.line}.text();
    const TomlTable* tables = entry.node.table();
    if (tables == nullptr || tables->empty()) {
      throw InputError(
          found_text(place, "offshoots", describe(entry.node), "tables [offshoots.NAME]"));
    }
    for (const TomlEntry& one : *tables) {
      const std::string label = "offshoots." + toml_key(one.key);
      const std::string where = Location{source.name, one.line}.text();
      const TomlTable* table = one.node.table();
      if (table == nullptr) {
        throw InputError(found_text(where, label, describe(one.node),
                                    "a table with at, steps, and what it sets"));
      }
      if (one.key.empty() || one.key.find('.') != std::string::npos) {
        throw InputError(found_text(where, label, "a quoted name", "a name without dots"));
      }
      if (table->empty()) {
        throw InputError(
            found_text(where, label, "an empty table", "at: the steps at which to branch off"));
      }
      std::vector<OffshootItem> own;
      collect_offshoot(*table, "", one.key, source, spec, own);
      items.insert(items.end(), own.begin(), own.end());
    }
  }
  return items;
}

void replace_offshoots(std::vector<OffshootItem>& all, std::vector<OffshootItem> items) {
  for (OffshootItem& item : items) {
    const auto it = std::find_if(all.begin(), all.end(), [&](const OffshootItem& other) {
      return other.offshoot == item.offshoot && other.path == item.path;
    });
    if (it == all.end()) {
      all.push_back(std::move(item));
    } else {
      *it = std::move(item);
    }
  }
}

void collect_leaves(const TomlTable& table, const std::string& prefix, const ConfigSource& source,
                    const Spec& spec, bool entries, std::vector<SweepLeaf>& leaves) {
  for (const TomlEntry& entry : table) {
    const std::string path = joined(prefix, entry.key);
    if (entries && path == "zip") {
      leaves.push_back({path, nullptr, &entry.node, entry.line, entry.column});
      continue;
    }
    const TomlTable* inner = entry.node.table();
    const KeySpec* key = spec.find(path);
    if (key == nullptr && inner != nullptr && !inner->empty()) {
      const bool generator =
          entries && std::any_of(inner->begin(), inner->end(), [](const TomlEntry& e) {
            const auto& words = generator_words();
            return std::find(words.begin(), words.end(), e.key) != words.end();
          });
      if (!generator) {
        collect_leaves(*inner, path, source, spec, entries, leaves);
        continue;
      }
    }
    const std::string place = Location{source.name, entry.line}.text();
    const std::string label = entries ? sweep_text(path) : path;
    if (key == nullptr && spec.is_table(path)) {
      throw InputError(
          found_text(place, label, "a table of keys",
                     fmt::format("one of its keys: {}", fmt::join(spec.children(path), ", "))));
    }
    if (key == nullptr) fail(place, label, unknown_text(spec, path));
    if (!key->sweepable) {
      fail(place, label, "cannot be varied: one value holds for all members");
    }
    leaves.push_back({path, key, &entry.node, entry.line, entry.column});
  }
}

}  // namespace

std::string OffshootItem::label() const {
  return fmt::format("offshoots.{}.{}", toml_key(offshoot), path);
}

std::string sweep_text(const std::string& path) {
  if (path.starts_with("offshoots.")) return path;
  return path == "zip" ? "sweep.zip" : "sweep." + to_toml(path);
}

const std::vector<std::string>& generator_words() {
  static const std::vector<std::string> words = {"values", "linspace", "geomspace", "range"};
  return words;
}

std::vector<SweepLeaf> sweep_leaves(const TomlTable& table, const ConfigSource& source,
                                    const Spec& spec, bool entries) {
  std::vector<SweepLeaf> leaves;
  collect_leaves(table, "", source, spec, entries, leaves);
  std::stable_sort(leaves.begin(), leaves.end(), [](const SweepLeaf& a, const SweepLeaf& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::map<std::string_view, int> lines;
  for (const SweepLeaf& leaf : leaves) {
    const auto [first, is_new] = lines.emplace(leaf.path, leaf.line);
    if (is_new) continue;
    fail(Location{source.name, leaf.line}.text(), entries ? sweep_text(leaf.path) : leaf.path,
         fmt::format("written twice, first in {}", Location{source.name, first->second}.text()));
  }
  return leaves;
}

void make_absolute(Value& value, const std::filesystem::path& folder) {
  const auto absolute = [&](std::string& text) {
    const std::filesystem::path path(text);
    text = (path.is_absolute() ? path : folder / path).lexically_normal().string();
  };
  if (auto* text = std::get_if<std::string>(&value)) absolute(*text);
  if (auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    for (std::string& text : *texts) absolute(text);
  }
}

Value read_value(const KeySpec& key, const TomlNode& node, const std::string& path,
                 const ConfigSource& source) {
  Value value = validated(key, node, path, source.name);
  if (key.is_path) make_absolute(value, source.folder);
  return value;
}

ExperimentReading read_sources(std::string_view toml, const std::string& name,
                               const std::filesystem::path& folder,
                               const std::vector<std::string>& overrides, const Spec& spec,
                               const std::vector<ExperimentOverlay>& overlays) {
  ExperimentReading reading;
  const auto blank = toml.find_first_not_of(" \t\r\n") == std::string_view::npos;
  if (blank) throw InputError(name + ": the file is empty, expected an experiment");
  const ConfigSource& file =
      reading.sources.emplace_back(ConfigSource{name, folder, read_toml(toml, name)});
  if (file.root.table()->empty()) {
    throw InputError(name + ": the file sets no key, expected an experiment");
  }
  reading.base = read_base(file, spec);
  reading.sweep = read_sweep(file, spec);
  reading.offshoots = read_offshoots(file, spec);
  for (const ExperimentOverlay& overlay : overlays) {
    reading.sources.push_back(
        {overlay.name, overlay.folder, read_toml(overlay.toml, overlay.name)});
  }
  for (const std::string& text : overrides) reading.sources.push_back(read_override(text));
  for (const ConfigSource& source : reading.sources) {
    if (&source == &file) continue;
    replace_offshoots(reading.offshoots, read_offshoots(source, spec));
    replace_base(reading.base, read_base(source, spec));
    for (SweepItem& item : read_sweep(source, spec)) {
      const auto it = std::find_if(reading.sweep.begin(), reading.sweep.end(),
                                   [&](const SweepItem& other) { return other.path == item.path; });
      if (it == reading.sweep.end()) {
        reading.sweep.push_back(item);
      } else {
        *it = item;
      }
    }
  }
  return reading;
}

}  // namespace manyfold
