// Where settings come from: the experiment file, or one `--set`. What both are read into: a list of
// the keys and tables of the base, one of the entries of [sweep], and one of the keys of the tables
// [offshoots.NAME].
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "core/config/document.hpp"
#include "core/config/spec.hpp"
#include "core/sweep/experiment.hpp"

namespace manyfold {

struct ConfigSource {
  std::string name;              ///< for messages: the file, or "--set a.b=v"
  std::filesystem::path folder;  ///< absolute; that relative paths are relative to
  TomlNode root;
};

/// A key or a table of the base, in written order.
struct BaseItem {
  std::string path;
  const KeySpec* key = nullptr;  ///< nullptr: a table
  std::optional<Value> value;
  Location location;
};

/// An entry of [sweep]: a key, or `zip`.
struct SweepItem {
  std::string path;
  const KeySpec* key = nullptr;  ///< nullptr: zip
  const TomlNode* node = nullptr;
  const ConfigSource* source = nullptr;
  int line = 0;

  std::string place() const { return Location{source->name, line}.text(); }
};

/// A key of a table [offshoots.NAME].
struct OffshootItem {
  std::string offshoot;          ///< NAME
  std::string path;              ///< "at", "steps", or a key of the experiment
  const KeySpec* key = nullptr;  ///< nullptr: at, steps
  const TomlNode* node = nullptr;
  const ConfigSource* source = nullptr;
  int line = 0;

  std::string label() const;  ///< as messages name it: `offshoots.late.at`
  Location location() const { return {source->name, line}; }
};

/// The sources of an experiment; a list, since items point into them.
struct ExperimentReading {
  std::list<ConfigSource> sources;
  std::vector<BaseItem> base;
  std::vector<SweepItem> sweep;
  std::vector<OffshootItem> offshoots;
};

/// A key of [sweep] as messages name it: `sweep."init.seed"`; that of an offshoot as it stands.
std::string sweep_text(const std::string& path);

/// Reads the file's text, the overlays and the overrides (`a.b=v`) in turn. Every key and value of
/// the base is valid by itself afterwards. Throws InputError.
ExperimentReading read_sources(std::string_view toml, const std::string& name,
                               const std::filesystem::path& folder,
                               const std::vector<std::string>& overrides, const Spec& spec,
                               const std::vector<ExperimentOverlay>& overlays = {});

/// A valid value; a relative path in it is made absolute.
Value read_value(const KeySpec& key, const TomlNode& node, const std::string& path,
                 const ConfigSource& source);

/// The texts of a value that is a path (or several), absolute.
void make_absolute(Value& value, const std::filesystem::path& folder);

/// A leaf below a table of [sweep] or of a zip list: its keys may be quoted paths, dotted or
/// tables.
struct SweepLeaf {
  std::string path;
  const KeySpec* key;
  const TomlNode* node;
  int line;
  int column;
};

/// Leaves in written order. With `entries`, tables may stand for values (`{ range = [3] }`).
std::vector<SweepLeaf> sweep_leaves(const TomlTable& table, const ConfigSource& source,
                                    const Spec& spec, bool entries);

/// The words that make values inside a sweep entry.
const std::vector<std::string>& generator_words();

}  // namespace manyfold
