// ZIP files as .npz ones are: entries stored or deflated, of less than 4 GiB each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace manyfold {

struct ZipEntry {
  std::string name;
  std::string bytes;
};

/// Every entry, in the order of the directory at the file's end. Throws InputError: no ZIP file,
/// cut short, damaged (its checksum), encrypted or packed in a way that is not known.
std::vector<ZipEntry> read_zip(const std::filesystem::path& file);

/// Entries stored as they are, without dates: equal entries make equal bytes. Throws InputError
/// where they are too many or too large for a plain ZIP file.
std::string zip_bytes(const std::filesystem::path& file, const std::vector<ZipEntry>& entries);

}  // namespace manyfold
