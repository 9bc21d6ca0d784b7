// What an experiment comes to: which keys apply to which members, with which values. Conditions
// depend on few keys (kinds, mostly), so members are sorted into combinations of what those keys
// say; each combination is judged once, however many members share it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/sweep/experiment.hpp"
#include "core/sweep/factors.hpp"

namespace manyfold {

struct Experiment::Plan {
  Spec spec;
  std::filesystem::path folder;
  ExperimentReading reading;
  std::vector<SweepFactor> factors;  ///< the first is that of offshoots, where there are any
  std::vector<Offshoot> offshoots;
  std::vector<OffshootRow> offshoot_rows;
  SettingsTable table;
  std::vector<int> setting_of_column;  ///< columns counted over all factors
  std::vector<SweptKey> swept;
  std::int64_t members = 1;
  std::int64_t product = 1;  ///< members that are no offshoots; they come first

  /// For each factor the class of each row (rows that say the same to every condition); empty where
  /// there is one class. Combinations of classes are numbered like members, last factor fastest.
  std::vector<std::vector<std::int32_t>> class_of_row;
  std::vector<std::int32_t> classes;
  std::vector<std::int32_t> variation_of_combination;
  /// For each distinct outcome: which settings apply.
  std::vector<std::vector<bool>> variations;
  std::vector<bool> base_applies;  ///< written, or a default that applies to some member
  std::vector<bool> resolved;      ///< what the resolved experiment writes into its base

  /// The combination that the rows of each factor make.
  std::size_t combination(const std::vector<std::int64_t>& rows) const;
  std::vector<std::int64_t> rows_of(std::int64_t member) const;
  Settings settings_of(const std::shared_ptr<const SettingsTable>& owner,
                       const std::vector<std::int64_t>& rows) const;

  std::string resolved_toml() const;
  std::string member_toml(std::int64_t member, std::int64_t last_step, bool with_probes) const;
  std::string identity(std::int64_t member) const;
  /// nullptr: the member is none.
  const OffshootRow* offshoot_row(std::int64_t member) const;

  static std::shared_ptr<const Plan> make(std::string_view toml, const std::string& name,
                                          const std::filesystem::path& folder,
                                          const std::vector<std::string>& overrides,
                                          const Spec& spec,
                                          const std::vector<ExperimentOverlay>& overlays);
};

}  // namespace manyfold
