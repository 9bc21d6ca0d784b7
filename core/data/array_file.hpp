// Arrays in files that other programs write and read: NumPy's .npy, CSV, NetCDF, IDX.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace manyfold {

/// Numbers in C order, whatever type and order the file had, as doubles: integers beyond 2^53 are
/// rounded.
struct Array {
  std::vector<std::int64_t> shape{};
  std::vector<double> values{};  ///< product of the shape
  std::string type{};            ///< of the file's numbers: "b1", "i1" ... "u8", "f2", "f4", "f8"

  std::string shape_text() const;  ///< "(20, 20)", "(3,)", "()"
};

/// By the file's ending:
/// .npy  versions 1 to 3, little-endian: booleans, integers of 1 to 8 bytes, floats of 2, 4 or 8; C
///       or Fortran order.
/// .csv  rows of numbers ("nan" and "inf" are some) separated by commas, always two-dimensional; an
///       optional first line of names, none of which is a number; lines that are blank or begin
///       with # are passed over.
/// .npz, .safetensors  the array called `variable` (array_archive.hpp); it need not be named where
///       there is one.
/// .nc   `variable`, which may stand in a group: "family_0/W_1". It need not be named where the
///       file has one variable of numbers that is not the coordinate of a dimension. As xarray
///       does: `_FillValue` becomes NaN, `scale_factor` and `add_offset` are applied.
/// .idx  MNIST's format, also as .idx.gz, -ubyte, -ubyte.gz, or where the ending is none of these,
///       by the first bytes: types u1, i1, i2, i4, f4, f8, big-endian; plain or gzip.
/// Throws InputError "FILE: ...": no such file, a folder, not of its format, cut short or longer
/// than its shape says, a shape that no memory holds, a type or ending that is not known, a row of
/// another length (with its line), text where a number is expected (line and column), no such
/// variable, or none named where there are several (with those there are); ResourceError where the
/// numbers take more memory than the machine has. For one thread at a time (.nc).
Array read_array(const std::filesystem::path& file, const std::string& variable = "");

/// The same formats (.idx only uncompressed), as doubles (of type "b1" a .npy holds booleans);
/// reading gives the same bits back (in .csv a NaN loses its payload and its sign). .csv takes at
/// most two dimensions, one of them as a column; .nc names its dimensions "<variable>_0",
/// "<variable>_1", ... The file appears whole or not at all, and an earlier one under its name is
/// replaced then. Throws InputError where it cannot be written, ResourceError where the disk is
/// full, std::invalid_argument where shape and values differ.
void write_array(const std::filesystem::path& file, const Array& array,
                 const std::string& variable = "array");

}  // namespace manyfold
