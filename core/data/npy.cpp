// NumPy's .npy (numpy.lib.format): "\x93NUMPY", two version bytes, the length of the header (2
// bytes in version 1, 4 from version 2 on), the header, which is a Python dictionary
//   {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }
// and the numbers.
#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <istream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/data/array_formats.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they stand");

constexpr std::string_view magic = "\x93NUMPY";

struct Header {
  std::string type;  ///< "<f8"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// The part of Python's syntax that headers are written in.
class HeaderParser {
 public:
  HeaderParser(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  Header parse() {
    std::optional<std::string> type;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        type = description();
      } else if (key == "fortran_order") {
        fortran_order = boolean();
      } else if (key == "shape") {
        shape = tuple();
      } else {
        fail();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    blanks();
    if (at_ != text_.size() || !type || !fortran_order || !shape) fail();
    return {*type, *fortran_order, *shape};
  }

 private:
  [[noreturn]] void fail() const {
    throw InputError(fmt::format(
        "{}: its header is damaged at byte {}, expected {{'descr': ..., 'fortran_order': ..., "
        "'shape': ...}}",
        file_, at_));
  }
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail();
  }
  std::string string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const std::size_t end = text_.find(quote, at_);
    if (end == std::string_view::npos) fail();
    std::string found(text_.substr(at_, end - at_));
    at_ = end + 1;
    return found;
  }
  std::string description() {
    blanks();
    if (at_ < text_.size() && text_[at_] == '[') {
      throw InputError(fmt::format(
          "{}: its elements are structured (several fields each), expected plain numbers", file_));
    }
    return string();
  }
  bool boolean() {
    blanks();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail();
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      blanks();
      std::int64_t size = 0;
      const auto [next, status] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), size);
      if (status != std::errc{}) fail();
      at_ = static_cast<std::size_t>(next - text_.data());
      accept('L');  // Python 2
      sizes.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  const std::string& file_;
  std::string_view text_;
  std::size_t at_ = 0;
};

/// IEEE 754 binary16.
double half_to_double(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  double value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? HUGE_VAL : std::nan("");
  } else {
    value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

template <class T>
void convert(const char* bytes, std::size_t count, double* values) {
  for (std::size_t i = 0; i < count; ++i) {
    T number;
    std::memcpy(&number, bytes + i * sizeof(T), sizeof(T));
    values[i] = static_cast<double>(number);
  }
}

struct NumberType {
  std::string_view name;
  std::size_t size;
  void (*to_doubles)(const char* bytes, std::size_t count, double* values);
};

constexpr NumberType number_types[] = {
    {"b1", 1,
     [](const char* bytes, std::size_t count, double* values) {
       for (std::size_t i = 0; i < count; ++i) values[i] = bytes[i] != 0 ? 1 : 0;
     }},
    {"i1", 1, convert<std::int8_t>},
    {"i2", 2, convert<std::int16_t>},
    {"i4", 4, convert<std::int32_t>},
    {"i8", 8, convert<std::int64_t>},
    {"u1", 1, convert<std::uint8_t>},
    {"u2", 2, convert<std::uint16_t>},
    {"u4", 4, convert<std::uint32_t>},
    {"u8", 8, convert<std::uint64_t>},
    {"f2", 2,
     [](const char* bytes, std::size_t count, double* values) {
       for (std::size_t i = 0; i < count; ++i) {
         std::uint16_t bits = 0;
         std::memcpy(&bits, bytes + 2 * i, 2);
         values[i] = half_to_double(bits);
       }
     }},
    {"f4", 4, convert<float>},
    {"f8", 8, convert<double>},
};

const NumberType& number_type(const std::string& file, const std::string& type) {
  const std::string_view name =
      std::string_view(type).substr(std::min<std::size_t>(1, type.size()));
  if (!type.starts_with('>')) {
    for (const NumberType& known : number_types) {
      if (known.name == name) return known;
    }
  }
  std::string found = "numbers of another kind";
  switch (name.empty() ? '?' : name.front()) {
    case 'O':
      found = "Python objects";
      break;
    case 'c':
      found = "complex numbers";
      break;
    case 'S':
    case 'a':
    case 'U':
      found = "texts";
      break;
    case 'V':
      found = "raw bytes";
      break;
    case 'M':
    case 'm':
      found = "dates or times";
      break;
    default:
      if (type.starts_with('>')) found = "big-endian numbers";
  }
  throw InputError(fmt::format(
      "{}: found {} (\"{}\"), expected little-endian booleans, integers or floats of at most 8 "
      "bytes{}",
      file, found, type,
      type.starts_with('>') ? fmt::format("; NumPy's .astype('<{}') makes them", name)
                            : std::string()));
}

/// From first index fastest to last index fastest.
std::vector<double> to_c_order(const std::vector<double>& values,
                               const std::vector<std::int64_t>& shape) {
  std::vector<std::size_t> stride(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) {
    stride[d - 1] = stride[d] * static_cast<std::size_t>(shape[d]);
  }
  std::vector<double> ordered(values.size());
  std::vector<std::int64_t> index(shape.size(), 0);
  std::size_t to = 0;
  for (const double value : values) {
    ordered[to] = value;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      to += stride[d];
      if (++index[d] < shape[d]) break;
      to -= stride[d] * static_cast<std::size_t>(shape[d]);
      index[d] = 0;
    }
  }
  return ordered;
}

std::string read_exactly(std::istream& in, const std::string& file, std::size_t count,
                         std::string_view what) {
  std::string bytes(count, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(count));
  if (static_cast<std::size_t>(in.gcount()) != count) {
    throw InputError(fmt::format("{}: cut short: found {} of the {} bytes of {}", file, in.gcount(),
                                 count, what));
  }
  return bytes;
}

}  // namespace

Array read_npy(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw InputError(fmt::format("{}: cannot be read", file.string()));
  return read_npy(in, std::filesystem::file_size(file), file.string());
}

Array read_npy(std::istream& in, std::uintmax_t file_size, const std::string& file) {
  std::string start(std::min<std::uintmax_t>(file_size, magic.size()), '\0');
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  if (start != magic) {
    throw InputError(fmt::format("{}: not a .npy file: it does not begin with \\x93NUMPY{}", file,
                                 start.starts_with("PK") ? " (it is a .npz or .zip)" : ""));
  }
  const std::string version = read_exactly(in, file, 2, "its version");
  const int major = static_cast<unsigned char>(version[0]);
  if (major < 1 || major > 3) {
    throw InputError(fmt::format("{}: found version {}.{} of the .npy format, expected 1 to 3",
                                 file, major, static_cast<unsigned char>(version[1])));
  }
  const std::string length = read_exactly(in, file, major == 1 ? 2 : 4, "its header's length");
  std::uint32_t header_size = 0;
  std::memcpy(&header_size, length.data(), length.size());
  const std::uint64_t begin = magic.size() + 2 + length.size() + std::uint64_t{header_size};
  if (begin > file_size) {
    throw InputError(fmt::format("{}: cut short: found {} bytes of a header that ends at {}", file,
                                 file_size, begin));
  }
  const std::string text = read_exactly(in, file, header_size, "its header");
  const Header header = HeaderParser(file, text).parse();
  const NumberType& type = number_type(file, header.type);

  Array array{.shape = header.shape, .values = {}, .type = std::string(type.name)};
  const std::size_t count = checked_count(file, header.shape);
  const std::uint64_t wanted = std::uint64_t{count} * type.size;
  const std::uint64_t there = file_size - begin;
  if (there != wanted) {
    throw InputError(fmt::format("{}: {}: found {} bytes of numbers, expected {} for the shape {}",
                                 file, there < wanted ? "cut short" : "too long", there, wanted,
                                 array.shape_text()));
  }
  array.values.resize(count);
  constexpr std::size_t piece = std::size_t{1} << 17;
  for (std::size_t first = 0; first < count; first += piece) {
    const std::size_t some = std::min(piece, count - first);
    const std::string bytes = read_exactly(in, file, some * type.size, "a piece of its numbers");
    type.to_doubles(bytes.data(), some, array.values.data() + first);
  }
  if (header.fortran_order && header.shape.size() > 1) {
    array.values = to_c_order(array.values, header.shape);
  }
  return array;
}

std::size_t number_bytes(std::string_view type) {
  for (const NumberType& known : number_types) {
    if (known.name == type) return known.size;
  }
  throw std::logic_error("no numbers of type " + std::string(type));
}

void numbers_to_doubles(std::string_view type, const char* bytes, std::size_t count,
                        double* values) {
  for (const NumberType& known : number_types) {
    if (known.name == type) return known.to_doubles(bytes, count, values);
  }
  throw std::logic_error("no numbers of type " + std::string(type));
}

void append_numbers(std::string& bytes, const std::vector<double>& values, bool single) {
  if (!single) {
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
    return;
  }
  const std::vector<float> rounded(values.begin(), values.end());
  bytes.append(reinterpret_cast<const char*>(rounded.data()), rounded.size() * sizeof(float));
}

std::string npy_bytes(const Array& array, bool single) {
  const bool boolean = array.type == "b1";
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                   boolean ? "|b1" : (single ? "<f4" : "<f8"), array.shape_text());
  const std::size_t before = magic.size() + 2;
  const std::size_t short_length = before + 2 + header.size() + 1;
  const bool is_short = short_length + 64 < 65536;
  const std::size_t prefix = before + (is_short ? 2 : 4);
  header.append((64 - (prefix + header.size() + 1) % 64) % 64, ' ');  // numbers begin at 64 k
  header += '\n';
  std::string bytes(magic);
  bytes += is_short ? '\1' : '\2';
  bytes += '\0';
  const auto length = static_cast<std::uint32_t>(header.size());
  bytes.append(reinterpret_cast<const char*>(&length), is_short ? 2 : 4);
  bytes += header;
  if (boolean) {
    for (const double value : array.values) bytes += value != 0 ? '\1' : '\0';
  } else {
    append_numbers(bytes, array.values, single);
  }
  return bytes;
}

}  // namespace manyfold
