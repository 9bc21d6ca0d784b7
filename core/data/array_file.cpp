// Picks the format by the file's ending, or its first bytes; what the formats share.
#include "core/data/array_file.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "core/data/array_archive.hpp"
#include "core/data/array_formats.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

enum class Format { npy, csv, netcdf, idx };

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// nullopt where the ending says nothing.
std::optional<Format> format_by_ending(const std::filesystem::path& file) {
  const std::string whole = lower_case(file.filename().string());
  std::string_view name = whole;
  if (name.ends_with(".npy")) return Format::npy;
  if (name.ends_with(".csv")) return Format::csv;
  if (name.ends_with(".nc")) return Format::netcdf;
  if (name.ends_with(".gz")) name.remove_suffix(3);
  if (name.ends_with(".idx") || name.ends_with("-ubyte")) return Format::idx;
  return std::nullopt;
}

[[noreturn]] void throw_for_ending(const std::filesystem::path& file) {
  const std::string ending = lower_case(file.extension().string());
  throw InputError(fmt::format(
      "{}: found {}, expected a file that ends in .npy, .npz, .safetensors, .csv, .nc or "
      ".idx",
      file.string(),
      ending.empty() ? std::string("no ending") : fmt::format("the ending \"{}\"", ending)));
}

Format format_of(const std::filesystem::path& file) {
  if (const auto format = format_by_ending(file)) return *format;
  if (is_idx(file)) return Format::idx;
  throw_for_ending(file);
}

Format format_to_write(const std::filesystem::path& file) {
  const auto format = format_by_ending(file);
  const bool plain = format != Format::idx || lower_case(file.extension().string()) == ".idx";
  if (!format || !plain) throw_for_ending(file);
  return *format;
}

[[noreturn]] void throw_for_write(const std::filesystem::path& file, int failure) {
  const std::string text =
      fmt::format("{}: cannot be written: {}", file.string(), std::strerror(failure));
  if (failure == ENOSPC || failure == EDQUOT || failure == EFBIG || failure == EIO) {
    throw ResourceError(text);
  }
  throw InputError(text);
}

/// A file under way: gone unless it was put in place.
class PartialFile {
 public:
  explicit PartialFile(const std::filesystem::path& file) : file_(file), partial_(file) {
    partial_ += ".partial";
    descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor_ < 0) throw_for_write(file_, errno);
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!in_place_) ::unlink(partial_.c_str());
  }

  void write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw_for_write(file_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  void put_in_place() {
    if (::fsync(descriptor_) != 0) throw_for_write(file_, errno);
    if (::close(std::exchange(descriptor_, -1)) != 0) throw_for_write(file_, errno);
    if (::rename(partial_.c_str(), file_.c_str()) != 0) throw_for_write(file_, errno);
    in_place_ = true;
  }

 private:
  std::filesystem::path file_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
  bool in_place_ = false;
};

}  // namespace

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string Array::shape_text() const { return manyfold::shape_text(shape); }

std::size_t checked_count(const std::filesystem::path& file, std::span<const std::int64_t> shape) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 8;
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t size) { return size < 0; })) {
    throw InputError(fmt::format("{}: found the shape {}, expected no negative size", file.string(),
                                 shape_text(shape)));
  }
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (size > most / count) {
      throw InputError(fmt::format("{}: found the shape {}, which no memory holds", file.string(),
                                   shape_text(shape)));
    }
    count *= size;
  }
  const double memory =
      static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (8.0 * static_cast<double>(count) > memory) {
    throw ResourceError(
        fmt::format("{}: its numbers, of shape {}, take {:.3g} bytes; this machine has {:.3g}",
                    file.string(), shape_text(shape), 8.0 * static_cast<double>(count), memory));
  }
  return static_cast<std::size_t>(count);
}

void require_readable(const std::filesystem::path& file) {
  namespace fs = std::filesystem;
  std::error_code failed;
  const fs::file_status status = fs::status(file, failed);
  if (status.type() == fs::file_type::not_found) {
    throw InputError(fmt::format("{}: no such file", file.string()));
  }
  if (status.type() == fs::file_type::directory) {
    throw InputError(fmt::format("{}: found a folder, expected a file", file.string()));
  }
  if (failed || ::access(file.c_str(), R_OK) != 0) {
    throw InputError(fmt::format("{}: cannot be read: {}", file.string(),
                                 failed ? failed.message() : std::strerror(errno)));
  }
  if (status.type() != fs::file_type::regular) {
    throw InputError(fmt::format("{}: found no regular file", file.string()));
  }
  if (fs::file_size(file, failed) == 0) {
    throw InputError(fmt::format("{}: the file is empty", file.string()));
  }
}

void write_whole(const std::filesystem::path& file, std::string_view bytes) {
  if (std::filesystem::is_directory(file)) {
    throw InputError(fmt::format("{}: is a folder, expected the name of a file", file.string()));
  }
  PartialFile partial(file);
  partial.write(bytes);
  partial.put_in_place();
}

namespace {

/// One array of an archive; it need not be named where there is one.
Array read_of_archive(const std::filesystem::path& file, const std::string& name) {
  std::vector<NamedArray> arrays = read_arrays(file);
  std::string names;
  for (NamedArray& one : arrays) {
    if (one.name == name || (name.empty() && arrays.size() == 1)) return std::move(one.array);
    names += (names.empty() ? "" : ", ") + one.name;
  }
  throw InputError(fmt::format(
      "{}: {}, expected one of its arrays: {}", file.string(),
      name.empty() ? std::string("no array named") : fmt::format("found no array \"{}\"", name),
      names.empty() ? "it has none" : names));
}

}  // namespace

Array read_array(const std::filesystem::path& file, const std::string& variable) {
  require_readable(file);
  if (is_archive(file)) return read_of_archive(file, variable);
  const Format format = format_of(file);
  if (format == Format::netcdf) return read_netcdf(file, variable);
  if (!variable.empty()) {
    throw InputError(
        fmt::format("{}: found the variable \"{}\" asked for, but {} has one array without a name",
                    file.string(), variable,
                    format == Format::idx ? "an IDX file"
                                          : "a file that ends in " + file.extension().string()));
  }
  if (format == Format::idx) return read_idx(file);
  return format == Format::npy ? read_npy(file) : read_csv(file);
}

void write_array(const std::filesystem::path& file, const Array& array,
                 const std::string& variable) {
  if (checked_count(file, array.shape) != array.values.size()) {
    throw std::invalid_argument("write_array: as many values as the shape says");
  }
  if (is_archive(file)) return write_arrays(file, {{variable, array}});
  switch (format_to_write(file)) {
    case Format::npy:
      return write_whole(file, npy_bytes(array));
    case Format::csv:
      return write_whole(file, csv_bytes(file, array));
    case Format::netcdf:
      return write_whole(file, netcdf_bytes(file, array, variable));
    case Format::idx:
      return write_whole(file, idx_bytes(file, array));
  }
}

}  // namespace manyfold
