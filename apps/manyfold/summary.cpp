// Reads a log of samples back, and groups members by what their seeds do not decide.
#include "apps/manyfold/summary.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/config/value.hpp"
#include "core/record/sample_log.hpp"

namespace manyfold::apps {

Samples::Samples(const std::filesystem::path& log) {
  RecordLayout layout;
  LogVisitor visitor;
  std::map<std::pair<int, std::int64_t>, std::map<std::int64_t, std::vector<double>>> found;
  visitor.on_samples = [&](const SampleBlock& block) {
    const std::size_t width = block.values.size() / block.members.size();
    for (std::size_t i = 0; i < block.members.size(); ++i) {
      const auto from = block.values.begin() + static_cast<std::ptrdiff_t>(i * width);
      found[{block.variable, block.members[i]}][block.sample] = {
          from, from + static_cast<std::ptrdiff_t>(width)};
    }
  };
  layout = read_log(log, visitor).layout;
  for (auto& [key, samples] : found) {
    const VariableLayout& variable = layout.variables[static_cast<std::size_t>(key.first)];
    values_[{key.second, variable.name}] = std::move(samples);
  }
  for (const VariableLayout& variable : layout.variables) {
    if (variable.cadence < 0) continue;
    steps_[variable.name] = layout.cadences[static_cast<std::size_t>(variable.cadence)].steps;
  }
}

const std::vector<double>* Samples::find(std::int64_t member, const std::string& variable,
                                         std::int64_t sample) const {
  const auto all = values_.find({member, variable});
  if (all == values_.end()) return nullptr;
  const auto one = all->second.find(sample);
  return one == all->second.end() ? nullptr : &one->second;
}

std::int64_t Samples::count(std::int64_t member, const std::string& variable) const {
  const auto all = values_.find({member, variable});
  return all == values_.end() ? 0 : static_cast<std::int64_t>(all->second.size());
}

const std::vector<std::int64_t>& Samples::steps(const std::string& variable) const {
  return steps_.at(variable);
}

std::vector<MemberGroup> groups_but_for_seeds(const Experiment& experiment) {
  std::vector<MemberGroup> groups;
  std::map<std::string, std::size_t> place;
  for (std::int64_t member = 0; member < experiment.members(); ++member) {
    MemberGroup group;
    for (const SweptKey& key : experiment.swept()) {
      const std::int32_t value = key.value_of_member[static_cast<std::size_t>(member)];
      if (value < 0 || key.path == "seed" || key.path.ends_with(".seed")) continue;
      const std::string text = to_toml(key.values[static_cast<std::size_t>(value)]);
      group.values[key.path] = text;
      group.text += fmt::format("{}{} = {}", group.text.empty() ? "" : ", ", key.path, text);
    }
    const auto [found, is_new] = place.try_emplace(group.text, groups.size());
    if (is_new) groups.push_back(std::move(group));
    groups[found->second].members.push_back(member);
  }
  return groups;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace manyfold::apps
