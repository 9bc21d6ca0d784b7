// One reader and one writer per format of array_file.hpp, and what they share. For the files of
// this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/array_file.hpp"

namespace manyfold {

/// Each throws what `read_array` says; the file is there, regular and not empty.
Array read_npy(const std::filesystem::path& file);
/// From a stream of so many bytes; `file` is what messages call it.
Array read_npy(std::istream& in, std::uintmax_t bytes, const std::string& file);
Array read_csv(const std::filesystem::path& file);
Array read_netcdf(const std::filesystem::path& file, const std::string& variable);
Array read_idx(const std::filesystem::path& file);

/// Whether the first bytes of a file, or of what it decompresses to, are those of IDX.
bool is_idx(const std::filesystem::path& file);

/// The bytes of a file. `file` is for messages.
std::string npy_bytes(const Array& array, bool single = false);
std::string csv_bytes(const std::filesystem::path& file, const Array& array);
std::string netcdf_bytes(const std::filesystem::path& file, const Array& array,
                         const std::string& variable);
std::string idx_bytes(const std::filesystem::path& file, const Array& array);

/// Little-endian numbers of an array's `type`: bytes of one, many of them as doubles. Doubles, or
/// floats, as bytes.
std::size_t number_bytes(std::string_view type);
void numbers_to_doubles(std::string_view type, const char* bytes, std::size_t count,
                        double* values);
void append_numbers(std::string& bytes, const std::vector<double>& values, bool single);

/// Elements of a shape. Throws InputError where no memory could hold them, ResourceError where this
/// machine's does not.
std::size_t checked_count(const std::filesystem::path& file, std::span<const std::int64_t> shape);

/// Throws InputError unless there is a regular file that can be read and is not empty.
void require_readable(const std::filesystem::path& file);

/// Puts bytes under a name, whole or not at all: written beside it, forced to the disk, renamed.
/// Throws InputError, and ResourceError where the disk is full.
void write_whole(const std::filesystem::path& file, std::string_view bytes);

std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace manyfold
