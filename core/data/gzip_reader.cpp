// zlib reads both kinds of files; what is wrong with one is said here.
#include "core/data/gzip_reader.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <zlib.h>

#include "core/error.hpp"

namespace manyfold {

GzipReader::GzipReader(const std::filesystem::path& file)
    : file_(file), handle_(gzopen(file.c_str(), "rb"), gzclose) {
  if (!handle_) throw InputError(fmt::format("{}: cannot be opened", file.string()));
}

std::size_t GzipReader::read(std::span<char> to) {
  constexpr std::size_t most = std::size_t{1} << 30;  // zlib counts in ints
  std::size_t got = 0;
  while (got < to.size()) {
    const auto asked = static_cast<unsigned>(std::min(most, to.size() - got));
    const int some = gzread(handle_.get(), to.data() + got, asked);
    if (some < 0) {
      throw InputError(
          fmt::format("{}: its gzip data are damaged: they do not decompress beyond "
                      "byte {} of the contents",
                      file_.string(), done_));
    }
    if (some == 0) break;
    got += static_cast<std::size_t>(some);
    done_ += static_cast<std::uint64_t>(some);
  }
  int status = Z_OK;
  if (got < to.size()) gzerror(handle_.get(), &status);
  if (status == Z_BUF_ERROR) {
    throw InputError(
        fmt::format("{}: cut short: its gzip data end in the middle, after {} bytes of the "
                    "contents",
                    file_.string(), done_));
  }
  return got;
}

}  // namespace manyfold
