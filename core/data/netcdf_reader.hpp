// A NetCDF file open for reading: its dimensions, variables of all groups, and parts of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace manyfold {

/// NetCDF-3 or NetCDF-4. Groups are walked through: the variable W_1 of the group family_0 has the
/// path "family_0/W_1". For one thread at a time: the netCDF library is not thread-safe.
class NetcdfReader {
 public:
  /// Throws InputError where there is no file, or none of this format.
  explicit NetcdfReader(const std::filesystem::path& file);
  NetcdfReader(const NetcdfReader&) = delete;
  NetcdfReader& operator=(const NetcdfReader&) = delete;
  ~NetcdfReader();

  struct Dimension {
    std::string path;
    std::int64_t size = 0;
  };
  struct Variable {
    std::string path;
    std::string type;                     ///< "f8", "i4", ..., "text", "other"
    std::vector<std::string> dimensions;  ///< names without their groups
    std::vector<std::int64_t> shape;
    bool is_coordinate = false;  ///< of a dimension: it has the dimension's name
    int group = 0;               ///< netCDF's numbers
    int id = 0;
    bool is_numeric() const { return type != "text" && type != "other"; }
  };
  const std::filesystem::path& file() const { return file_; }
  std::span<const Dimension> dimensions() const { return dimensions_; }
  std::span<const Variable> variables() const { return variables_; }
  /// nullptr where there is none.
  const Variable* find(std::string_view path) const;
  /// Throws InputError with those that are there.
  const Variable& at(std::string_view path) const;

  /// Everything, or the box of `count` elements from `start` on, in C order, as doubles; decoded as
  /// array_file.hpp says. Throws InputError where it is not numeric or the file is damaged.
  std::vector<double> read(const Variable& variable) const;
  std::vector<double> read(const Variable& variable, std::span<const std::int64_t> start,
                           std::span<const std::int64_t> count) const;
  /// Everything. Throws InputError where these are no texts.
  std::vector<std::string> texts(const Variable& variable) const;
  /// A text attribute of the file; nullopt where there is none.
  std::optional<std::string> attribute(const std::string& name) const;

 private:
  void walk(int group, const std::string& prefix);
  void require(int status, std::string_view what) const;
  std::optional<double> number_attribute(const Variable& variable, const char* name) const;

  std::filesystem::path file_;
  int id_ = -1;
  std::vector<Dimension> dimensions_;
  std::vector<Variable> variables_;
};

}  // namespace manyfold
