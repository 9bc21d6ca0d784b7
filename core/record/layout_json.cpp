// The layout as JSON and back, every number exactly.
#include "core/record/layout_json.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace manyfold {
namespace {

using Json = nlohmann::json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Runs `read` on the parsed text; whatever is wrong becomes std::invalid_argument.
template <class Read>
auto parse(std::string_view text, Read read) {
  try {
    return read(Json::parse(text));
  } catch (const Json::exception& problem) {
    throw std::invalid_argument(problem.what());
  }
}

Json to_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0.0 ? "inf" : "-inf";
}
Json to_json(std::int64_t value) { return value; }
Json to_json(const std::string& value) { return value; }

void read(const Json& json, std::int64_t& value) {
  if (!json.is_number_integer() ||
      (json.is_number_unsigned() &&
       json.get<std::uint64_t>() >
           static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())))
    throw std::invalid_argument("an integer is expected");
  value = json.get<std::int64_t>();
}

void read(const Json& json, double& value) {
  if (json.is_number()) {
    value = json.get<double>();
    return;
  }
  const auto& word = json.get_ref<const std::string&>();
  if (word == "nan")
    value = std::numeric_limits<double>::quiet_NaN();
  else if (word == "inf")
    value = std::numeric_limits<double>::infinity();
  else if (word == "-inf")
    value = -std::numeric_limits<double>::infinity();
  else
    throw std::invalid_argument("a number is expected");
}

void read(const Json& json, std::string& value) { value = json.get_ref<const std::string&>(); }

void read(const Json& json, int& value) {
  std::int64_t wide = 0;
  read(json, wide);
  if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max())
    throw std::invalid_argument("a small integer is expected");
  value = static_cast<int>(wide);
}

const Json& list(const Json& json) {
  if (!json.is_array()) throw std::invalid_argument("a list is expected");
  return json;
}

template <class T>
Json to_json(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(to_json(value));
  return json;
}

template <class T>
void read(const Json& json, std::vector<T>& values) {
  values.reserve(list(json).size());
  for (const Json& each : json) read(each, values.emplace_back());
}

template <class T>
T get(const Json& json) {
  T value{};
  read(json, value);
  return value;
}

template <class T>
T get(const Json& object, const char* key) {
  return get<T>(object.at(key));
}

constexpr std::array<const char*, 3> type_words{"f64", "i64", "text"};  // as StoredType

StoredType read_type(const Json& json) {
  const auto word = get<std::string>(json, "type");
  for (std::size_t i = 0; i < type_words.size(); ++i)
    if (word == type_words[i]) return static_cast<StoredType>(i);
  throw std::invalid_argument("a type is expected");
}

template <class T>
constexpr StoredType type_of = std::is_same_v<T, double>         ? StoredType::f64
                               : std::is_same_v<T, std::int64_t> ? StoredType::i64
                                                                 : StoredType::text;
const char* word_of(StoredType type) { return type_words[static_cast<std::size_t>(type)]; }

Json attributes_json(std::span<const std::pair<std::string, Attribute>> attributes) {
  Json json = Json::array();
  for (const auto& [name, value] : attributes)
    std::visit(
        [&, key = name](const auto& held) {
          using T = std::decay_t<decltype(held)>;
          json.push_back({{"name", key}, {"type", word_of(type_of<T>)}, {"value", to_json(held)}});
        },
        value);
  return json;
}

Attributes read_attributes(const Json& json) {
  Attributes attributes;
  for (const Json& each : list(json)) {
    const auto name = get<std::string>(each, "name");
    switch (read_type(each)) {
      case StoredType::f64:
        attributes.emplace_back(name, get<double>(each, "value"));
        break;
      case StoredType::i64:
        attributes.emplace_back(name, get<std::int64_t>(each, "value"));
        break;
      case StoredType::text:
        attributes.emplace_back(name, get<std::string>(each, "value"));
        break;
    }
  }
  return attributes;
}

Json to_json(const VariableLayout& variable) {
  Json extents = Json::array();
  for (const Extent& extent : variable.extents)
    extents.push_back({{"name", extent.name}, {"size", extent.size}, {"first", extent.first}});
  return {{"name", variable.name},       {"type", word_of(variable.type)},
          {"cadence", variable.cadence}, {"extents", std::move(extents)},
          {"units", variable.units},     {"long_name", variable.long_name},
          {"comment", variable.comment}, {"group", variable.group}};
}

Json to_json(const GroupLayout& group) {
  return {
      {"name", group.name}, {"long_name", group.long_name}, {"members", to_json(group.members)}};
}

GroupLayout read_group(const Json& json) {
  return {.name = get<std::string>(json, "name"),
          .long_name = get<std::string>(json, "long_name"),
          .members = get<std::vector<std::int64_t>>(json, "members")};
}

VariableLayout read_variable(const Json& json) {
  VariableLayout variable{.name = get<std::string>(json, "name"),
                          .type = read_type(json),
                          .cadence = get<int>(json, "cadence"),
                          .extents = {},
                          .units = get<std::string>(json, "units"),
                          .long_name = get<std::string>(json, "long_name"),
                          .comment = get<std::string>(json, "comment"),
                          .group = json.contains("group") ? get<int>(json, "group") : -1};
  for (const Json& extent : list(json.at("extents")))
    variable.extents.push_back({.name = get<std::string>(extent, "name"),
                                .size = get<std::int64_t>(extent, "size"),
                                .first = get<std::int64_t>(extent, "first")});
  return variable;
}

Json to_json(const CoordinateLayout& coordinate) {
  Json json{
      {"name", coordinate.name}, {"units", coordinate.units}, {"long_name", coordinate.long_name}};
  std::visit(
      [&json](const auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        json["type"] = word_of(type_of<T>);
        json["values"] = to_json(values);
      },
      coordinate.values);
  return json;
}

CoordinateLayout read_coordinate(const Json& json) {
  CoordinateLayout coordinate{.name = get<std::string>(json, "name"),
                              .units = get<std::string>(json, "units"),
                              .long_name = get<std::string>(json, "long_name"),
                              .values = {}};
  switch (read_type(json)) {
    case StoredType::f64:
      coordinate.values = get<std::vector<double>>(json, "values");
      break;
    case StoredType::i64:
      coordinate.values = get<std::vector<std::int64_t>>(json, "values");
      break;
    case StoredType::text:
      coordinate.values = get<std::vector<std::string>>(json, "values");
      break;
  }
  return coordinate;
}

MemberStatus status_named(std::string_view wanted) {
  for (auto i = static_cast<std::int32_t>(MemberStatus::pending);
       i <= static_cast<std::int32_t>(MemberStatus::interrupted); ++i)
    if (word(static_cast<MemberStatus>(i)) == wanted) return static_cast<MemberStatus>(i);
  throw std::invalid_argument("a status is expected");
}

}  // namespace

std::string layout_to_json(const RecordLayout& layout) {
  Json cadences = Json::array();
  for (const CadenceLayout& cadence : layout.cadences)
    cadences.push_back({{"name", cadence.name}, {"steps", to_json(cadence.steps)}});
  Json variables = Json::array();
  for (const VariableLayout& variable : layout.variables) variables.push_back(to_json(variable));
  Json groups = Json::array();
  for (const GroupLayout& group : layout.groups) groups.push_back(to_json(group));
  Json coordinates = Json::array();
  for (const CoordinateLayout& coordinate : layout.coordinates)
    coordinates.push_back(to_json(coordinate));
  return dump({{"members", layout.members},
               {"cadences", std::move(cadences)},
               {"variables", std::move(variables)},
               {"groups", std::move(groups)},
               {"coordinates", std::move(coordinates)},
               {"attributes", attributes_json(layout.attributes)}});
}

RecordLayout layout_from_json(std::string_view text) {
  return parse(text, [](const Json& json) {
    RecordLayout layout;
    layout.members = get<std::int64_t>(json, "members");
    for (const Json& cadence : list(json.at("cadences")))
      layout.cadences.push_back({.name = get<std::string>(cadence, "name"),
                                 .steps = get<std::vector<std::int64_t>>(cadence, "steps")});
    for (const Json& variable : list(json.at("variables")))
      layout.variables.push_back(read_variable(variable));
    if (json.contains("groups"))  // a log from before there were groups has none
      for (const Json& group : list(json.at("groups"))) layout.groups.push_back(read_group(group));
    for (const Json& coordinate : list(json.at("coordinates")))
      layout.coordinates.push_back(read_coordinate(coordinate));
    layout.attributes = read_attributes(json.at("attributes"));
    return layout;
  });
}

std::string attributes_to_json(std::span<const std::pair<std::string, Attribute>> attributes) {
  return dump(attributes_json(attributes));
}

Attributes attributes_from_json(std::string_view text) { return parse(text, read_attributes); }

std::string ends_to_json(std::span<const MemberEnd> ends) {
  Json json = Json::array();
  for (const MemberEnd& end : ends)
    json.push_back({end.member, word(end.status), end.end_step, end.end_reason});
  return dump(json);
}

std::vector<MemberEnd> ends_from_json(std::string_view text) {
  return parse(text, [](const Json& json) {
    std::vector<MemberEnd> ends;
    for (const Json& end : list(json))
      ends.push_back({.member = get<std::int64_t>(list(end).at(0)),
                      .status = status_named(get<std::string>(end.at(1))),
                      .end_step = get<std::int64_t>(end.at(2)),
                      .end_reason = get<std::string>(end.at(3))});
    return ends;
  });
}

std::string texts_to_json(const TextBlock& block) {
  return dump({{"variable", block.variable},
               {"members", std::vector(block.members.begin(), block.members.end())},
               {"values", std::vector(block.values.begin(), block.values.end())}});
}

OwnedTexts texts_from_json(std::string_view text) {
  return parse(text, [](const Json& json) {
    OwnedTexts texts{.variable = get<int>(json, "variable"),
                     .members = get<std::vector<std::int64_t>>(json, "members"),
                     .values = get<std::vector<std::string>>(json, "values")};
    if (texts.members.size() != texts.values.size())
      throw std::invalid_argument("as many texts as members are expected");
    return texts;
  });
}

std::string as_utf8(std::string_view text) {
  text = text.substr(0, text.find('\0'));
  if (std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; }))
    return std::string(text);
  return get<std::string>(Json::parse(dump(Json(text))));
}

}  // namespace manyfold
