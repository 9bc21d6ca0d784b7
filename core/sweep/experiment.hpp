// An experiment file read, validated and expanded into members. The contract of sweeps and seeds:
// members are numbered in the sweep's written order, last factor fastest; the number names a row of
// the record and nothing else. Offshoots come after the product: all members branched off by the
// first table at its first step, then at its second, and so on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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

/// How an offshoot comes about.
struct Branch {
  std::int64_t parent = -1;  ///< a member of the product
  std::int64_t step = 0;     ///< of the parent, whose state the offshoot goes on with
  std::string offshoot{};    ///< NAME of its table [offshoots.NAME]
  Location place{};          ///< of `at` there
};

/// More of an experiment in a file of its own; its keys replace those that were there.
struct ExperimentOverlay {
  std::string name;  ///< for messages
  std::filesystem::path folder;
  std::string toml;
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
                          const std::vector<std::string>& overrides, const Spec& spec,
                          const std::vector<ExperimentOverlay>& overlays = {});

  std::int64_t members() const;
  /// Of those the ones that are no offshoots: 0 ... product()-1.
  std::int64_t product() const;
  /// nullopt: the member begins by itself.
  std::optional<Branch> branch(std::int64_t member) const;
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
  /// One member as an experiment of its own, without a sweep, ending at `last_step`; an offshoot
  /// with its parent, as member 1 of two. Without probes: nothing of [probes] and [cadences].
  std::string member_toml(std::int64_t member, std::int64_t last_step,
                          bool with_probes = true) const;
  /// What makes a member the one it is: every key that may be swept, but stop.steps, with its
  /// value; of an offshoot that of its parent, too. Members of two experiments with equal texts
  /// take the same steps.
  std::string identity(std::int64_t member) const;
  /// The keys that hold for all members (probes, stop.check_every, ...), which no identity names.
  std::vector<std::pair<std::string, std::string>> common_keys() const;

  struct Plan;  ///< core/sweep/plan.hpp

 private:
  explicit Experiment(std::shared_ptr<const Plan> plan);

  std::shared_ptr<const Plan> plan_;
  Settings base_;
};

}  // namespace manyfold
