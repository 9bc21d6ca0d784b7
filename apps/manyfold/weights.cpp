// manyfold data weights: a member's parameters out of a record, for NumPy, PyTorch and JAX.
#include "apps/manyfold/weights.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold::apps {
namespace {

std::string group_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

/// The group that has a member's parameters, and the member's place in it.
struct Place {
  std::string group;
  std::int64_t member = 0;
};

Place place_of(const NetcdfReader& record, std::int64_t member) {
  bool any = false;
  for (const NetcdfReader::Variable& variable : record.variables()) {
    const std::string group = group_of(variable.path);
    if (group.empty() || variable.path != group + "/member") continue;
    any = true;
    const std::vector<double> members = record.read(variable);
    const auto found = std::find(members.begin(), members.end(), static_cast<double>(member));
    if (found != members.end()) return {group, found - members.begin()};
  }
  const std::string file = record.file().string();
  if (any) throw InputError(fmt::format("{}: there is no member {}", file, member));
  throw InputError(fmt::format(
      "{}: found no parameters, expected a record of an experiment with the probe `parameters`",
      file));
}

bool finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
}

}  // namespace

std::vector<NamedArray> recorded_parameters(const NetcdfReader& record, std::int64_t member,
                                            std::optional<std::int64_t> sample) {
  const Place place = place_of(record, member);
  std::vector<const NetcdfReader::Variable*> layers;
  for (const NetcdfReader::Variable& variable : record.variables()) {
    const bool layer = group_of(variable.path) == place.group && variable.is_numeric() &&
                       !variable.is_coordinate && variable.shape.size() >= 3 &&
                       variable.dimensions.front() == "member";
    if (layer) layers.push_back(&variable);
  }
  if (layers.empty()) {
    throw InputError(
        fmt::format("{}: the group {} has no parameters", record.file().string(), place.group));
  }
  const std::int64_t samples = layers.front()->shape[1];
  if (sample && (*sample < 0 || *sample >= samples)) {
    throw InputError(fmt::format("{}: found sample {} asked for, expected 0 to {}",
                                 record.file().string(), *sample, samples - 1));
  }
  // The last sample that the member reached: those behind it are missing values.
  for (std::int64_t s = sample.value_or(samples - 1); s >= 0; --s) {
    std::vector<NamedArray> arrays;
    bool whole = true;
    for (const NetcdfReader::Variable* layer : layers) {
      std::vector<std::int64_t> start(layer->shape.size(), 0);
      std::vector<std::int64_t> count = layer->shape;
      start[0] = place.member;
      start[1] = s;
      count[0] = count[1] = 1;
      Array array;
      array.shape.assign(layer->shape.begin() + 2, layer->shape.end());
      array.values = record.read(*layer, start, count);
      array.type = layer->type;
      whole = whole && finite(array.values);
      arrays.push_back({layer->path.substr(place.group.size() + 1), std::move(array)});
    }
    if (whole) return arrays;
    if (sample) break;
  }
  throw InputError(fmt::format("{}: member {} has no finite parameters{}", record.file().string(),
                               member, sample ? fmt::format(" at sample {}", *sample) : ""));
}

}  // namespace manyfold::apps
