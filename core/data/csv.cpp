// Numbers separated by commas, a row a line.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/data/array_formats.hpp"
#include "core/error.hpp"

namespace manyfold {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Fields of a line; commas between double quotes do not separate.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') quoted = !quoted;
    if (line[i] != ',' || quoted) continue;
    fields.push_back(trimmed(line.substr(begin, i - begin)));
    begin = i + 1;
  }
  fields.push_back(trimmed(line.substr(begin)));
  return fields;
}

std::from_chars_result parse(std::string_view field, double& value) {
  if (field.starts_with('+') && !field.starts_with("+-")) field.remove_prefix(1);
  const char* const end = field.data() + field.size();
  auto result = std::from_chars(field.data(), end, value);
  if (result.ec == std::errc{} && result.ptr != end) result.ec = std::errc::invalid_argument;
  return result;
}

bool is_number(std::string_view field) {
  double ignored = 0;
  return parse(field, ignored).ec != std::errc::invalid_argument;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  return fmt::format("{}", value);  // the shortest that reads back to the same bits
}

}  // namespace

Array read_csv(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw InputError(fmt::format("{}: cannot be read", file.string()));
  const std::string all{std::istreambuf_iterator<char>(in), {}};
  std::string_view text = all;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Array array{.shape = {}, .values = {}, .type = "f8"};
  std::size_t columns = 0;
  std::size_t first_line = 0;
  std::int64_t rows = 0;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (trimmed(line).empty() || line.starts_with('#')) continue;
    if (const std::size_t nul = line.find('\0'); nul != std::string_view::npos) {
      throw InputError(
          fmt::format("{}:{}: not a text file: found a NUL byte", file.string(), number));
    }
    const auto fields = fields_of(line);
    if (columns != 0 && fields.size() != columns) {
      throw InputError(fmt::format("{}:{}: found {} values, expected {} as in line {}",
                                   file.string(), number, fields.size(), columns, first_line));
    }
    const bool begins = columns == 0;
    if (begins) {
      columns = fields.size();
      first_line = number;
      if (std::none_of(fields.begin(), fields.end(), is_number)) continue;  // names
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
      double value = 0;
      const std::errc status = parse(fields[i], value).ec;
      if (status == std::errc{}) {
        array.values.push_back(value);
        continue;
      }
      constexpr std::size_t shown = 40;
      throw InputError(fmt::format(
          "{}:{}: column {}: found {}, expected {}", file.string(), number, i + 1,
          fields[i].empty() ? std::string("nothing")
                            : fmt::format("\"{}\"{}", fields[i].substr(0, shown),
                                          fields[i].size() > shown ? "..." : ""),
          status == std::errc::result_out_of_range ? "a number that a double holds"
                                                   : "a number (nan where there is none)"));
    }
    ++rows;
  }
  if (rows == 0) {
    throw InputError(fmt::format("{}: found no row of numbers", file.string()));
  }
  array.shape = {rows, static_cast<std::int64_t>(columns)};
  return array;
}

std::string csv_bytes(const std::filesystem::path& file, const Array& array) {
  if (array.shape.size() > 2) {
    throw InputError(fmt::format("{}: found an array of shape {}, expected at most two dimensions",
                                 file.string(), array.shape_text()));
  }
  if (array.values.empty()) {
    throw InputError(fmt::format("{}: found an array of shape {}, which a .csv cannot hold",
                                 file.string(), array.shape_text()));
  }
  const std::size_t columns =
      array.shape.size() == 2 ? static_cast<std::size_t>(array.shape[1]) : 1;
  std::string text;
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    text += number_text(array.values[i]);
    text += (i + 1) % columns == 0 ? '\n' : ',';
  }
  return text;
}

}  // namespace manyfold
