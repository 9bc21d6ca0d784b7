// Sizes a record and refuses layouts that no record can hold.
#include "core/record/layout.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "core/record/shape.hpp"

namespace manyfold {
namespace {

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t bytes_of_number = 8;
constexpr std::int64_t bytes_of_text = 32;

std::int64_t times(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? most : product;
}

std::int64_t plus(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? most : sum;
}

[[noreturn]] void refuse(std::string_view what, std::string_view name, std::string_view why) {
  throw std::invalid_argument(fmt::format("record layout: {} \"{}\": {}", what, name, why));
}

/// Names that netCDF can store and that stay one word in a `coordinates` attribute.
void check_name(std::string_view what, std::string_view name) {
  if (name.empty()) refuse(what, name, "a name is needed");
  const auto first = static_cast<unsigned char>(name.front());
  const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') ||
                      (first >= '0' && first <= '9') || first >= 0x80;
  if (!letter) refuse(what, name, "a name begins with a letter or a digit");
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/')
      refuse(what, name, "a name has no blanks, '/' or control characters");
  if (name.size() > 256) refuse(what, name.substr(0, 40), "a name has at most 256 bytes");
}

/// xarray would turn these into timedelta64, counted in nanoseconds.
void check_units(std::string_view name, std::string_view units) {
  constexpr std::array<std::string_view, 7> decoded{
      "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"};
  if (std::find(decoded.begin(), decoded.end(), units) != decoded.end())
    refuse("units of", name, "xarray decodes the long names of time units; write \"s\", \"min\"");
}

class Names {
 public:
  void take(std::string_view what, const std::string& name) {
    check_name(what, name);
    if (!taken_.insert(name).second) refuse(what, name, "the name is taken");
  }

 private:
  std::set<std::string> taken_;
};

void check_steps(const CadenceLayout& cadence) {
  const auto& steps = cadence.steps;
  if (steps.empty() || steps.front() != 0) refuse("cadence", cadence.name, "steps begin at 0");
  if (std::adjacent_find(steps.begin(), steps.end(), std::greater_equal<>{}) != steps.end())
    refuse("cadence", cadence.name, "steps ascend without repeats");
}

}  // namespace

std::string sample_dimension(const CadenceLayout& cadence) {
  return cadence.name.empty() ? "sample" : "sample_" + cadence.name;
}

std::string step_coordinate(const CadenceLayout& cadence) {
  return cadence.name.empty() ? "step" : "step_" + cadence.name;
}

std::vector<Extent> dimensions_beyond_samples(const RecordLayout& layout, int group) {
  std::vector<Extent> all;
  for (const VariableLayout& variable : layout.variables)
    for (const Extent& extent : variable.extents) {
      if (variable.group != group) continue;
      const auto known = std::find_if(all.begin(), all.end(),
                                      [&](const Extent& e) { return e.name == extent.name; });
      if (known == all.end())
        all.push_back(extent);
      else
        known->size = std::max(known->size, extent.size);
    }
  return all;
}

std::vector<VariableShape> shapes(const RecordLayout& layout) {
  std::vector<std::vector<Extent>> dimensions;  // of the root, then of each group
  for (int group = -1; group < static_cast<int>(layout.groups.size()); ++group)
    dimensions.push_back(dimensions_beyond_samples(layout, group));
  std::vector<VariableShape> shapes;
  shapes.reserve(layout.variables.size());
  for (const VariableLayout& variable : layout.variables) {
    const std::vector<Extent>& all = dimensions[static_cast<std::size_t>(variable.group) + 1];
    VariableShape& shape = shapes.emplace_back();
    shape.members =
        variable.group < 0
            ? layout.members
            : static_cast<std::int64_t>(
                  layout.groups[static_cast<std::size_t>(variable.group)].members.size());
    if (variable.cadence >= 0)
      shape.samples = static_cast<std::int64_t>(
          layout.cadences[static_cast<std::size_t>(variable.cadence)].steps.size());
    for (const Extent& extent : variable.extents) {
      const auto dimension = std::find_if(all.begin(), all.end(),
                                          [&](const Extent& e) { return e.name == extent.name; });
      shape.extents.push_back(dimension->size);
      shape.cell = times(shape.cell, dimension->size);
    }
  }
  return shapes;
}

std::int64_t RecordLayout::bytes() const {
  std::int64_t total = 0;
  for (const CadenceLayout& cadence : cadences)
    total = plus(total, times(static_cast<std::int64_t>(cadence.steps.size()), bytes_of_number));
  for (const Extent& extent : dimensions_beyond_samples(*this))
    total = plus(total, times(extent.size, bytes_of_number));
  for (const GroupLayout& group : groups)
    total = plus(total, times(static_cast<std::int64_t>(group.members.size()), bytes_of_number));
  const std::vector<VariableShape> all = shapes(*this);
  for (std::size_t v = 0; v < variables.size(); ++v) {
    const std::int64_t each =
        variables[v].type == StoredType::text ? bytes_of_text : bytes_of_number;
    total = plus(total, times(times(times(all[v].members, all[v].samples), all[v].cell), each));
  }
  for (const CoordinateLayout& coordinate : coordinates) {
    const bool text = std::holds_alternative<std::vector<std::string>>(coordinate.values);
    total = plus(total, times(members, text ? bytes_of_text : bytes_of_number));
  }
  // member, status, end_step, end_reason
  total = plus(total, times(members, 2 * bytes_of_number + 2 * bytes_of_text));
  for (const auto& [name, value] : attributes) {
    const auto* text = std::get_if<std::string>(&value);
    total = plus(total, text ? static_cast<std::int64_t>(text->size()) : bytes_of_number);
  }
  return total;
}

void RecordLayout::check() const {
  // A billion members would need gigabytes for their status words alone.
  if (members < 0 || members > 1'000'000'000)
    throw std::invalid_argument("record layout: members must be from 0 to 10^9");

  Names names;
  for (const char* own : {"member", "status", "end_step", "end_reason"})
    names.take("variable", own);
  for (const CadenceLayout& cadence : cadences) {
    names.take("cadence", sample_dimension(cadence));
    names.take("cadence", step_coordinate(cadence));
    check_steps(cadence);
  }
  for (const VariableLayout& variable : variables)
    for (std::size_t i = 0; i < variable.extents.size(); ++i) {
      const Extent& extent = variable.extents[i];
      if (extent.size < 0) refuse("extent", extent.name, "a size is not negative");
      for (std::size_t j = 0; j < i; ++j)
        if (variable.extents[j].name == extent.name)
          refuse("variable", variable.name, "has one extent twice; xarray needs two names");
    }
  std::vector<Names> names_in_group(groups.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const GroupLayout& group = groups[g];
    names.take("group", group.name);
    const bool ascend = std::adjacent_find(group.members.begin(), group.members.end(),
                                           std::greater_equal<>{}) == group.members.end();
    if (group.members.empty() || !ascend || group.members.front() < 0 ||
        group.members.back() >= members)
      refuse("group", group.name, "its members ascend and are the record's");
    names_in_group[g].take("variable", "member");
    for (const CadenceLayout& cadence : cadences) {
      names_in_group[g].take("cadence", sample_dimension(cadence));
      names_in_group[g].take("cadence", step_coordinate(cadence));
    }
  }
  const int group_count = static_cast<int>(groups.size());
  for (const VariableLayout& variable : variables)
    if (variable.group < -1 || variable.group >= group_count)
      refuse("variable", variable.name, "its group is none of the layout's");
  const auto names_of = [&](int group) -> Names& {
    return group < 0 ? names : names_in_group[static_cast<std::size_t>(group)];
  };
  for (int group = -1; group < group_count; ++group)
    for (const Extent& extent : dimensions_beyond_samples(*this, group))
      names_of(group).take("extent", extent.name);
  for (const VariableLayout& variable : variables) {
    const std::vector<Extent> extents = dimensions_beyond_samples(*this, variable.group);
    names_of(variable.group).take("variable", variable.name);
    check_units(variable.name, variable.units);
    if (variable.cadence < -1 || variable.cadence >= static_cast<int>(cadences.size()))
      refuse("variable", variable.name, "its cadence is none of the layout's");
    if (variable.type == StoredType::text && (variable.cadence != -1 || !variable.extents.empty()))
      refuse("variable", variable.name, "texts are one per member");
    if (variable.type == StoredType::text && variable.group >= 0)
      refuse("variable", variable.name, "texts stand in the root group");
    if (variable.extents.size() > 16) refuse("variable", variable.name, "has over 16 extents");
    for (const Extent& extent : variable.extents)
      for (const Extent& dimension : extents)
        if (dimension.name == extent.name && dimension.first != extent.first)
          refuse("extent", extent.name, "its first element has two labels");
  }
  for (const CoordinateLayout& coordinate : coordinates) {
    names.take("coordinate", coordinate.name);
    check_units(coordinate.name, coordinate.units);
    const auto count = std::visit([](const auto& v) { return v.size(); }, coordinate.values);
    if (static_cast<std::int64_t>(count) != members)
      refuse("coordinate", coordinate.name, "one value per member is needed");
  }
  std::set<std::string> attribute_names;
  for (const auto& [name, value] : attributes) {
    check_name("attribute", name);
    if (!attribute_names.insert(name).second) refuse("attribute", name, "the name is taken");
  }
  if (bytes() == most) throw std::invalid_argument("record layout: its size overflows 64 bits");
}

}  // namespace manyfold
