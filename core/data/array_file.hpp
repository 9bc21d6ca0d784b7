// Arrays in files that other programs write and read: NumPy's .npy, CSV, NetCDF.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace manyfold {

/// Numbers in C order, whatever type and order the file had, as doubles.
struct Array {
  std::vector<std::int64_t> shape;
  std::vector<double> values;

  std::string shape_text() const;  ///< "(20, 20)"
};

/// By the file's ending: .npy (little-endian booleans, integers and floats of any size, C or
/// Fortran order), .csv (rows of numbers separated by commas, an optional first line of names), .nc
/// (`variable`, which may stand in a group: "family_0/W_1"; where the file has one variable only,
/// it need not be named). Throws InputError "FILE: ...": no such file, not of its format, cut
/// short, a type or ending that is not known, a row of another length (with its line), no such
/// variable (with those there are).
Array read_array(const std::filesystem::path& file, const std::string& variable = "");

/// The same formats. .csv takes at most two dimensions. The file appears whole or not at all.
/// Throws InputError where it cannot be written.
void write_array(const std::filesystem::path& file, const Array& array,
                 const std::string& variable = "array");

}  // namespace manyfold
