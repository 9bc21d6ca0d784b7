// A file as a stream of its contents: decompressed where it is gzip's, else as it stands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

struct gzFile_s;  // zlib's

namespace manyfold {

class GzipReader {
 public:
  /// Throws InputError where there is no file that can be opened.
  explicit GzipReader(const std::filesystem::path& file);

  /// Fills `to`, at the end of the contents less of it; returns how much. Throws InputError where
  /// compressed contents are damaged (a wrong checksum is noticed at their end) or cut short.
  std::size_t read(std::span<char> to);

 private:
  std::filesystem::path file_;
  std::unique_ptr<gzFile_s, int (*)(gzFile_s*)> handle_;
  std::uint64_t done_ = 0;  ///< bytes of the contents
};

}  // namespace manyfold
