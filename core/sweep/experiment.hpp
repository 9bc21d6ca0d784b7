// An experiment file read, validated and expanded into members. The contract of sweeps and seeds:
// members are numbered in the sweep's written order, last factor fastest; the number names a row of
// the record and nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"

namespace manyfold {

/// A key that the sweep varies: a coordinate of the record, in written order.
struct SweptKey {
  std::string path;
  std::vector<Value> values;  ///< distinct values, in order of first appearance over the members
  /// Index into `values`; -1 where the key does not apply to the member or the member has no value
  /// of it. A member whose zip table leaves the key out has the base's value or the default.
  std::vector<std::int32_t> value_of_member;
};

/// Cheap to copy; the copies and their Settings share what was read.
class Experiment {
 public:
  /// Reads and validates to the last key. `overrides` are `path=value` strings, the value in TOML
  /// syntax, or a bare word taken as a string; they replace keys of the base (a swept key cannot be
  /// overridden except through its sweep entry: `sweep."seed"={range=[0,2]}` or
  /// `sweep.seed=[0,1]`). A sweep entry that is not in the file becomes the last factor. Relative
  /// paths inside the file are relative to the file's folder: `folder()`; those in overrides to the
  /// current directory. Throws InputError.
  static Experiment read(const std::filesystem::path& file,
                         const std::vector<std::string>& overrides, const Spec& spec);
  /// The folder is the current directory.
  static Experiment parse(std::string_view toml, std::string_view name_for_messages,
                          const std::vector<std::string>& overrides, const Spec& spec);

  std::int64_t members() const;
  /// The values of one member, validated. Cheap enough to call for each of a million members.
  Settings member(std::int64_t index) const;
  const std::vector<SweptKey>& swept() const;
  /// The values that no sweep entry touches (probes, name, ...), and the base of those it does:
  /// everything written, and the defaults of keys that apply to any member.
  const Settings& base() const;
  const std::filesystem::path& folder() const;
  /// The experiment with every default written out and overrides applied, as TOML: reading it again
  /// gives the same members. File paths in it are absolute.
  std::string resolved_toml() const;

  struct Plan;  ///< core/sweep/plan.hpp

 private:
  explicit Experiment(std::shared_ptr<const Plan> plan);

  std::shared_ptr<const Plan> plan_;
  Settings base_;
};

}  // namespace manyfold
