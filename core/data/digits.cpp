// Finds and parses digits.csv.gz: 64 grey values 0..16 and a label a line.
#include "core/data/digits.hpp"

#include <charconv>
#include <cstdlib>
#include <string>

#include <dlfcn.h>

#include "core/data/gzip_reader.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

constexpr double brightest = 16;

std::filesystem::path own_folder() {
  Dl_info info{};
  // The library that holds this function: build/lib or PREFIX/lib.
  if (dladdr(reinterpret_cast<const void*>(&digits), &info) == 0 || info.dli_fname == nullptr) {
    return {};
  }
  std::error_code ignored;
  return std::filesystem::weakly_canonical(info.dli_fname, ignored).parent_path();
}

std::string read_gzip(const std::filesystem::path& file) {
  GzipReader reader(file);
  std::string text;
  std::string chunk(std::size_t{1} << 16, '\0');
  while (const std::size_t got = reader.read(chunk)) text.append(chunk, 0, got);
  return text;
}

Digits parse(const std::string& text, const std::filesystem::path& file) {
  Digits digits;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int line = 1; at < end; ++line) {
    for (std::int64_t column = 0; column <= Digits::pixels; ++column) {
      int value = -1;
      const auto [next, status] = std::from_chars(at, end, value);
      const bool last = column == Digits::pixels;
      const int most = last ? 9 : static_cast<int>(brightest);
      const char separator = last ? '\n' : ',';
      if (status != std::errc{} || value < 0 || value > most ||
          (next < end && *next != separator) || (next == end && !last)) {
        throw InputError(file.string() + ":" + std::to_string(line) +
                         ": expected 64 grey values from 0 to 16 and a label from 0 to 9");
      }
      if (last) {
        digits.labels.push_back(value);
      } else {
        digits.images.push_back(value / brightest);
      }
      at = next < end ? next + 1 : end;
    }
  }
  return digits;
}

}  // namespace

std::filesystem::path data_folder() {
  std::vector<std::filesystem::path> places;
  if (const char* named = std::getenv("MANYFOLD_DATA")) {
    places.emplace_back(named);
  } else {
    const auto own = own_folder();
    places = {own / "../share/manyfold", own / "../../share/manyfold"};
  }
  std::string tried;
  for (const auto& place : places) {
    std::error_code ignored;
    if (std::filesystem::exists(place / "digits.csv.gz", ignored)) return place;
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  throw InputError("digits.csv.gz is not in " + tried +
                   "; set MANYFOLD_DATA to the folder that holds it");
}

const Digits& digits() {
  static const Digits loaded = [] {
    const auto file = data_folder() / "digits.csv.gz";
    return parse(read_gzip(file), file);
  }();
  return loaded;
}

}  // namespace manyfold
