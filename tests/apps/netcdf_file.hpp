// A record as netCDF sees it: every variable with its bytes, for comparison bit by bit.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <netcdf.h>

namespace manyfold::testing {

struct NetcdfVariable {
  nc_type type = NC_NAT;
  std::vector<std::string> dimensions;
  std::vector<std::size_t> sizes;
  std::vector<std::byte> bytes;    ///< of numbers
  std::vector<std::string> texts;  ///< of strings

  bool operator==(const NetcdfVariable&) const = default;

  std::size_t count() const {
    std::size_t product = 1;
    for (const std::size_t size : sizes) product *= size;
    return product;
  }
  template <class T>
  std::vector<T> as() const {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  std::vector<double> doubles() const {
    if (type != NC_DOUBLE) throw std::runtime_error("not a variable of doubles");
    return as<double>();
  }
  std::vector<std::int64_t> integers() const {
    if (type != NC_INT64) throw std::runtime_error("not a variable of integers");
    return as<std::int64_t>();
  }
};

struct NetcdfFile {
  std::map<std::string, NetcdfVariable> variables;
  std::map<std::string, std::string> texts;  ///< attributes of the file that are texts

  const NetcdfVariable& at(const std::string& name) const { return variables.at(name); }
};

inline void require_netcdf(int status) {
  if (status != NC_NOERR) throw std::runtime_error(nc_strerror(status));
}

inline NetcdfVariable read_variable(int file, int id) {
  NetcdfVariable variable;
  int rank = 0;
  require_netcdf(nc_inq_var(file, id, nullptr, &variable.type, &rank, nullptr, nullptr));
  std::vector<int> ids(static_cast<std::size_t>(rank));
  require_netcdf(nc_inq_vardimid(file, id, ids.data()));
  for (const int dimension : ids) {
    char name[NC_MAX_NAME + 1] = {};
    require_netcdf(nc_inq_dim(file, dimension, name, &variable.sizes.emplace_back()));
    variable.dimensions.emplace_back(name);
  }
  if (variable.type == NC_STRING) {
    std::vector<char*> words(variable.count(), nullptr);
    require_netcdf(nc_get_var_string(file, id, words.data()));
    for (const char* word : words) variable.texts.emplace_back(word != nullptr ? word : "");
    require_netcdf(nc_free_string(words.size(), words.data()));
    return variable;
  }
  std::size_t size = 0;
  require_netcdf(nc_inq_type(file, variable.type, nullptr, &size));
  variable.bytes.resize(variable.count() * size);
  require_netcdf(nc_get_var(file, id, variable.bytes.data()));
  return variable;
}

inline std::string read_text_attribute(int file, const char* name) {
  nc_type type = NC_NAT;
  std::size_t length = 0;
  require_netcdf(nc_inq_att(file, NC_GLOBAL, name, &type, &length));
  if (type == NC_STRING) {
    std::vector<char*> words(length, nullptr);
    require_netcdf(nc_get_att_string(file, NC_GLOBAL, name, words.data()));
    std::string text = length > 0 && words[0] != nullptr ? words[0] : "";
    require_netcdf(nc_free_string(length, words.data()));
    return text;
  }
  std::string text(length, '\0');
  require_netcdf(nc_get_att_text(file, NC_GLOBAL, name, text.data()));
  return text;
}

/// The variables of a file or group, and of the groups in it as "group/variable".
inline void read_variables(int file, const std::string& prefix, NetcdfFile& record) {
  int variables = 0;
  require_netcdf(nc_inq_nvars(file, &variables));
  for (int id = 0; id < variables; ++id) {
    char name[NC_MAX_NAME + 1] = {};
    require_netcdf(nc_inq_varname(file, id, name));
    record.variables[prefix + name] = read_variable(file, id);
  }
  int count = 0;
  require_netcdf(nc_inq_grps(file, &count, nullptr));
  std::vector<int> groups(static_cast<std::size_t>(count));
  if (count > 0) require_netcdf(nc_inq_grps(file, nullptr, groups.data()));
  for (const int group : groups) {
    char name[NC_MAX_NAME + 1] = {};
    require_netcdf(nc_inq_grpname(group, name));
    read_variables(group, prefix + name + "/", record);
  }
}

inline NetcdfFile read_record(const std::filesystem::path& path) {
  int file = -1;
  require_netcdf(nc_open(path.c_str(), NC_NOWRITE, &file));
  NetcdfFile record;
  int attributes = 0;
  require_netcdf(nc_inq_natts(file, &attributes));
  read_variables(file, "", record);
  for (int id = 0; id < attributes; ++id) {
    char name[NC_MAX_NAME + 1] = {};
    nc_type type = NC_NAT;
    require_netcdf(nc_inq_attname(file, NC_GLOBAL, id, name));
    require_netcdf(nc_inq_atttype(file, NC_GLOBAL, name, &type));
    if (type == NC_STRING || type == NC_CHAR) record.texts[name] = read_text_attribute(file, name);
  }
  require_netcdf(nc_close(file));
  return record;
}

/// Names of the variables in which two records differ in any bit, shape or type, or that only one
/// of them has.
inline std::vector<std::string> differences(const NetcdfFile& a, const NetcdfFile& b) {
  std::vector<std::string> names;
  for (const auto& [name, variable] : a.variables) {
    const auto other = b.variables.find(name);
    if (other == b.variables.end() || !(variable == other->second)) names.push_back(name);
  }
  for (const auto& [name, variable] : b.variables) {
    if (!a.variables.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace manyfold::testing
