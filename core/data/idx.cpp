// IDX, the format of MNIST and of data sets like it (yann.lecun.com/exdb/mnist): two zero bytes, a
// byte for the type, a byte for the number of dimensions, the sizes (4 bytes each) and the numbers,
// all big-endian. Files are often compressed by gzip.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/data/array_formats.hpp"
#include "core/data/gzip_reader.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are turned around");

constexpr std::size_t magic_size = 4;

template <class T>
void convert(const char* bytes, std::size_t count, double* values) {
  for (std::size_t i = 0; i < count; ++i) {
    std::array<char, sizeof(T)> number{};
    std::reverse_copy(bytes + i * sizeof(T), bytes + (i + 1) * sizeof(T), number.begin());
    values[i] = static_cast<double>(std::bit_cast<T>(number));
  }
}

struct NumberType {
  unsigned char code;
  std::string_view name;
  std::size_t size;
  void (*to_doubles)(const char* bytes, std::size_t count, double* values);
};

constexpr NumberType number_types[] = {
    {0x08, "u1", 1, convert<std::uint8_t>}, {0x09, "i1", 1, convert<std::int8_t>},
    {0x0b, "i2", 2, convert<std::int16_t>}, {0x0c, "i4", 4, convert<std::int32_t>},
    {0x0d, "f4", 4, convert<float>},        {0x0e, "f8", 8, convert<double>},
};

/// nullptr where these bytes begin no IDX file.
const NumberType* number_type(std::string_view magic) {
  if (magic.size() < magic_size || magic[0] != 0 || magic[1] != 0) return nullptr;
  const auto code = static_cast<unsigned char>(magic[2]);
  const auto* const known = std::find_if(std::begin(number_types), std::end(number_types),
                                         [&](const NumberType& t) { return t.code == code; });
  return known == std::end(number_types) ? nullptr : known;
}

std::string first_bytes(GzipReader& in, std::size_t count) {
  std::string bytes(count, '\0');
  bytes.resize(in.read(bytes));
  return bytes;
}

std::string hexadecimal(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : " ", static_cast<unsigned char>(c));
  }
  return text;
}

std::vector<std::int64_t> read_shape(const std::filesystem::path& file, GzipReader& in,
                                     std::size_t dimensions) {
  const std::size_t wanted = 4 * dimensions;
  const std::string sizes = first_bytes(in, wanted);
  if (sizes.size() != wanted) {
    throw InputError(fmt::format("{}: cut short: found {} of the {} bytes of its {} sizes",
                                 file.string(), sizes.size(), wanted, dimensions));
  }
  std::vector<std::int64_t> shape;
  for (std::size_t i = 0; i < wanted; i += 4) {
    std::uint32_t size = 0;
    for (const char byte : std::string_view(sizes).substr(i, 4)) {
      size = size << 8 | static_cast<unsigned char>(byte);
    }
    shape.push_back(size);
  }
  return shape;
}

/// Bytes from here to the end.
std::uint64_t count_rest(GzipReader& in, std::vector<char>& piece) {
  std::uint64_t count = 0;
  while (const std::size_t some = in.read(piece)) count += some;
  return count;
}

}  // namespace

bool is_idx(const std::filesystem::path& file) {
  GzipReader in(file);
  return number_type(first_bytes(in, magic_size)) != nullptr;
}

Array read_idx(const std::filesystem::path& file) {
  GzipReader in(file);
  const std::string magic = first_bytes(in, magic_size);
  const NumberType* const type = number_type(magic);
  if (type == nullptr) {
    throw InputError(
        fmt::format("{}: not an IDX file: found the first bytes {}, expected 00 00, a type (08, "
                    "09, 0b, 0c, 0d, 0e) and the number of dimensions",
                    file.string(), magic.empty() ? "(none)" : hexadecimal(magic)));
  }
  Array array{.shape = read_shape(file, in, static_cast<unsigned char>(magic[3])),
              .values = {},
              .type = std::string(type->name)};
  const std::size_t count = checked_count(file, array.shape);
  array.values.reserve(count);  // untouched until the file turns out to have that many
  constexpr std::size_t most = std::size_t{1} << 17;
  std::vector<char> piece(most * type->size);
  std::uint64_t found = 0;
  while (array.values.size() < count) {
    const std::size_t done = array.values.size();
    const std::size_t some = std::min(most, count - done);
    const std::size_t got = in.read(std::span(piece).first(some * type->size));
    found += got;
    if (got < some * type->size) break;
    array.values.resize(done + some);
    type->to_doubles(piece.data(), some, array.values.data() + done);
  }
  found += count_rest(in, piece);
  const std::uint64_t wanted = std::uint64_t{count} * type->size;
  if (found != wanted) {
    throw InputError(fmt::format("{}: {}: found {} bytes of numbers, expected {} for the shape {}",
                                 file.string(), found < wanted ? "cut short" : "too long", found,
                                 wanted, array.shape_text()));
  }
  return array;
}

std::string idx_bytes(const std::filesystem::path& file, const Array& array) {
  constexpr std::size_t most_dimensions = 255;
  constexpr std::int64_t largest = std::numeric_limits<std::uint32_t>::max();
  if (array.shape.size() > most_dimensions ||
      std::any_of(array.shape.begin(), array.shape.end(), [](auto n) { return n > largest; })) {
    throw InputError(
        fmt::format("{}: found an array of shape {}, expected at most {} dimensions "
                    "of at most {}",
                    file.string(), array.shape_text(), most_dimensions, largest));
  }
  std::string bytes{'\0', '\0', '\x0e', static_cast<char>(array.shape.size())};
  for (const std::int64_t size : array.shape) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift & 255);
  }
  for (const double value : array.values) {
    const auto number = std::bit_cast<std::array<char, sizeof value>>(value);
    bytes.append(number.rbegin(), number.rend());
  }
  return bytes;
}

}  // namespace manyfold
