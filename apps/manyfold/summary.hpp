// What commands read back of a record that they have just made: samples of members, and members
// that differ in their seeds alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/sweep/experiment.hpp"

namespace manyfold::apps {

/// Every sample of a log, in memory.
class Samples {
 public:
  explicit Samples(const std::filesystem::path& log);

  /// All entries of a variable of a member at sample i of its cadence; nullptr: there are none.
  const std::vector<double>* find(std::int64_t member, const std::string& variable,
                                  std::int64_t sample = 0) const;
  /// Samples of a variable that a member has.
  std::int64_t count(std::int64_t member, const std::string& variable) const;
  /// The step of each sample of a variable.
  const std::vector<std::int64_t>& steps(const std::string& variable) const;

 private:
  using Key = std::pair<std::int64_t, std::string>;
  std::map<Key, std::map<std::int64_t, std::vector<double>>> values_;
  std::map<std::string, std::vector<std::int64_t>> steps_;
};

struct MemberGroup {
  std::map<std::string, std::string> values;  ///< of every swept key but seeds, as TOML
  std::string text;                           ///< "model.hidden = 64, data.count = 100"
  std::vector<std::int64_t> members;
};
/// In the order of their first members.
std::vector<MemberGroup> groups_but_for_seeds(const Experiment& experiment);

/// Of at least one value, none of them NaN; of an even number the mean of the middle two.
double median(std::vector<double> values);

}  // namespace manyfold::apps
