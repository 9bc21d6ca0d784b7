// NetCDF through its library, and arrays from and to it.
#include "core/data/netcdf_reader.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <netcdf.h>
#include <netcdf_mem.h>

#include "core/data/array_formats.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

std::string type_text(nc_type type) {
  switch (type) {
    case NC_BYTE:
      return "i1";
    case NC_UBYTE:
      return "u1";
    case NC_SHORT:
      return "i2";
    case NC_USHORT:
      return "u2";
    case NC_INT:
      return "i4";
    case NC_UINT:
      return "u4";
    case NC_INT64:
      return "i8";
    case NC_UINT64:
      return "u8";
    case NC_FLOAT:
      return "f4";
    case NC_DOUBLE:
      return "f8";
    case NC_STRING:
    case NC_CHAR:
      return "text";
    default:
      return "other";
  }
}

/// "a, b, c", the first few.
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t most = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), most); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > most) text += fmt::format(", and {} more", names.size() - most);
  return text.empty() ? "none" : text;
}

}  // namespace

NetcdfReader::NetcdfReader(const std::filesystem::path& file) : file_(file) {
  require_readable(file);
  if (const int status = nc_open(file.c_str(), NC_NOWRITE, &id_); status != NC_NOERR) {
    throw InputError(fmt::format("{}: not a NetCDF file, or a damaged one: {}", file.string(),
                                 nc_strerror(status)));
  }
  try {
    walk(id_, "");
  } catch (...) {
    nc_close(id_);
    throw;
  }
}

NetcdfReader::~NetcdfReader() { nc_close(id_); }

void NetcdfReader::require(int status, std::string_view what) const {
  if (status == NC_NOERR) return;
  throw InputError(fmt::format("{}: {} cannot be read: {}", file_.string(), what,
                               status > 0 ? "the system refuses" : nc_strerror(status)));
}

void NetcdfReader::walk(int group, const std::string& prefix) {
  const std::string what = prefix.empty() ? "its head" : "the group " + prefix;
  int count = 0;
  require(nc_inq_dimids(group, &count, nullptr, 0), what);
  std::vector<int> ids(static_cast<std::size_t>(count));
  require(nc_inq_dimids(group, nullptr, ids.data(), 0), what);
  char name[NC_MAX_NAME + 1] = {};
  for (const int id : ids) {
    std::size_t size = 0;
    require(nc_inq_dim(group, id, name, &size), what);
    dimensions_.push_back({prefix + name, static_cast<std::int64_t>(size)});
  }

  require(nc_inq_varids(group, &count, nullptr), what);
  ids.assign(static_cast<std::size_t>(count), 0);
  require(nc_inq_varids(group, nullptr, ids.data()), what);
  for (const int id : ids) {
    nc_type type = NC_NAT;
    int rank = 0;
    require(nc_inq_var(group, id, name, &type, &rank, nullptr, nullptr), what);
    Variable variable{.path = prefix + name,
                      .type = type_text(type),
                      .dimensions = {},
                      .shape = {},
                      .is_coordinate = false,
                      .group = group,
                      .id = id};
    std::vector<int> dimensions(static_cast<std::size_t>(rank));
    require(nc_inq_vardimid(group, id, dimensions.data()), variable.path);
    const std::string own_name = name;
    for (const int dimension : dimensions) {
      std::size_t size = 0;
      require(nc_inq_dim(group, dimension, name, &size), variable.path);
      variable.dimensions.emplace_back(name);
      variable.shape.push_back(static_cast<std::int64_t>(size));
    }
    variable.is_coordinate = rank == 1 && variable.dimensions.front() == own_name;
    variables_.push_back(std::move(variable));
  }

  require(nc_inq_grps(group, &count, nullptr), what);
  ids.assign(static_cast<std::size_t>(count), 0);
  require(nc_inq_grps(group, nullptr, ids.data()), what);
  for (const int id : ids) {
    require(nc_inq_grpname(id, name), what);
    walk(id, prefix + name + "/");
  }
}

const NetcdfReader::Variable* NetcdfReader::find(std::string_view path) const {
  const auto found = std::find_if(variables_.begin(), variables_.end(),
                                  [&](const Variable& v) { return v.path == path; });
  return found == variables_.end() ? nullptr : &*found;
}

const NetcdfReader::Variable& NetcdfReader::at(std::string_view path) const {
  if (const Variable* found = find(path)) return *found;
  std::vector<std::string> names;
  for (const Variable& variable : variables_) names.push_back(variable.path);
  throw InputError(fmt::format("{}: no variable \"{}\"; those there are: {}", file_.string(), path,
                               listed(names)));
}

std::optional<double> NetcdfReader::number_attribute(const Variable& variable,
                                                     const char* name) const {
  nc_type type = NC_NAT;
  std::size_t length = 0;
  if (nc_inq_att(variable.group, variable.id, name, &type, &length) != NC_NOERR || length != 1 ||
      type == NC_CHAR || type == NC_STRING) {
    return std::nullopt;
  }
  double value = 0;
  if (nc_get_att_double(variable.group, variable.id, name, &value) != NC_NOERR) return std::nullopt;
  return value;
}

std::vector<double> NetcdfReader::read(const Variable& variable) const {
  const std::vector<std::int64_t> start(variable.shape.size(), 0);
  return read(variable, start, variable.shape);
}

std::vector<double> NetcdfReader::read(const Variable& variable,
                                       std::span<const std::int64_t> start,
                                       std::span<const std::int64_t> count) const {
  if (!variable.is_numeric()) {
    throw InputError(fmt::format("{}: the variable {} holds {}, expected numbers", file_.string(),
                                 variable.path,
                                 variable.type == "text" ? "texts" : "no plain numbers"));
  }
  if (start.size() != variable.shape.size() || count.size() != variable.shape.size()) {
    throw std::invalid_argument("a box has the variable's rank");
  }
  std::vector<double> values(checked_count(file_, count));
  if (values.empty()) return values;
  const std::vector<std::size_t> from(start.begin(), start.end());
  const std::vector<std::size_t> sizes(count.begin(), count.end());
  require(nc_get_vara_double(variable.group, variable.id, from.data(), sizes.data(), values.data()),
          variable.path);
  for (const char* name : {"_FillValue", "missing_value"}) {
    const std::optional<double> fill = number_attribute(variable, name);
    if (!fill || std::isnan(*fill)) continue;
    std::replace(values.begin(), values.end(), *fill, std::numeric_limits<double>::quiet_NaN());
  }
  const std::optional<double> scale = number_attribute(variable, "scale_factor");
  const std::optional<double> offset = number_attribute(variable, "add_offset");
  if (scale || offset) {
    for (double& value : values) value = value * scale.value_or(1) + offset.value_or(0);
  }
  return values;
}

std::vector<std::string> NetcdfReader::texts(const Variable& variable) const {
  nc_type type = NC_NAT;
  require(nc_inq_vartype(variable.group, variable.id, &type), variable.path);
  if (type != NC_STRING) {
    throw InputError(
        fmt::format("{}: the variable {} holds no texts", file_.string(), variable.path));
  }
  std::vector<char*> words(checked_count(file_, variable.shape), nullptr);
  std::vector<std::string> texts;
  if (words.empty()) return texts;
  require(nc_get_var_string(variable.group, variable.id, words.data()), variable.path);
  for (const char* word : words) texts.emplace_back(word != nullptr ? word : "");
  nc_free_string(words.size(), words.data());
  return texts;
}

std::optional<std::string> NetcdfReader::attribute(const std::string& name) const {
  nc_type type = NC_NAT;
  std::size_t length = 0;
  if (nc_inq_att(id_, NC_GLOBAL, name.c_str(), &type, &length) != NC_NOERR) return std::nullopt;
  if (type == NC_STRING && length == 1) {
    char* word = nullptr;
    require(nc_get_att_string(id_, NC_GLOBAL, name.c_str(), &word), name);
    std::string text = word != nullptr ? word : "";
    nc_free_string(1, &word);
    return text;
  }
  if (type != NC_CHAR) return std::nullopt;
  std::string text(length, '\0');
  require(nc_get_att_text(id_, NC_GLOBAL, name.c_str(), text.data()), name);
  return text;
}

Array read_netcdf(const std::filesystem::path& file, const std::string& variable) {
  const NetcdfReader reader(file);
  const NetcdfReader::Variable* chosen = nullptr;
  if (!variable.empty()) {
    chosen = &reader.at(variable);
  } else {
    std::vector<std::string> names;
    for (const auto& one : reader.variables()) {
      if (!one.is_numeric() || one.is_coordinate) continue;
      names.push_back(one.path);
      chosen = &one;
    }
    if (names.size() != 1) {
      throw InputError(
          fmt::format("{}: found {} variables of numbers and none named, expected one "
                      "of: {}",
                      file.string(), names.size(), listed(names)));
    }
  }
  std::vector<double> values = reader.read(*chosen);
  return {.shape = chosen->shape, .values = std::move(values), .type = chosen->type};
}

std::string netcdf_bytes(const std::filesystem::path& file, const Array& array,
                         const std::string& variable) {
  const auto require = [&](int status) {
    if (status != NC_NOERR) {
      throw InputError(fmt::format("{}: the variable \"{}\" cannot be written: {}", file.string(),
                                   variable, nc_strerror(status)));
    }
  };
  // In memory, since a netCDF file that meets a full disk cannot even be closed.
  int id = -1;
  require(nc_create_mem(file.c_str(), NC_NETCDF4, 4096, &id));
  NC_memio memory{};
  bool open = true;
  try {
    int group = id;
    std::string name = variable;
    for (std::size_t slash = 0; (slash = name.find('/')) != std::string::npos;) {
      require(nc_def_grp(group, name.substr(0, slash).c_str(), &group));
      name.erase(0, slash + 1);
    }
    std::vector<int> dimensions(array.shape.size());
    for (std::size_t i = 0; i < dimensions.size(); ++i) {
      // A size of 0 asks for an unlimited dimension, which has no element yet.
      require(nc_def_dim(group, fmt::format("{}_{}", name, i).c_str(),
                         static_cast<std::size_t>(array.shape[i]), &dimensions[i]));
    }
    int id_of_variable = 0;
    require(nc_def_var(group, name.c_str(), NC_DOUBLE, static_cast<int>(dimensions.size()),
                       dimensions.data(), &id_of_variable));
    if (!array.values.empty()) {
      require(nc_put_var_double(group, id_of_variable, array.values.data()));
    }
    open = false;
    require(nc_close_memio(id, &memory));
  } catch (...) {
    if (open) nc_close_memio(id, &memory);
    std::free(memory.memory);
    throw;
  }
  std::string bytes(static_cast<const char*>(memory.memory), memory.size);
  std::free(memory.memory);
  return bytes;
}

}  // namespace manyfold
