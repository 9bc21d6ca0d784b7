// The parts of the sample log that are JSON. Integers and finite doubles come back exactly, doubles
// that are not finite as "nan", "inf", "-inf" (a NaN's payload is lost); bytes of a text that are
// no UTF-8 come back as U+FFFD. For the files of this folder.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/record/layout.hpp"
#include "core/record/sample_log.hpp"

namespace manyfold {

using Attributes = std::vector<std::pair<std::string, Attribute>>;

/// Texts of one variable, owned.
struct OwnedTexts {
  int variable = 0;
  std::vector<std::int64_t> members;
  std::vector<std::string> values;
};

std::string layout_to_json(const RecordLayout& layout);
std::string attributes_to_json(std::span<const std::pair<std::string, Attribute>> attributes);
std::string ends_to_json(std::span<const MemberEnd> ends);
std::string texts_to_json(const TextBlock& block);

/// Each throws std::invalid_argument for a text that is not what its twin above writes.
RecordLayout layout_from_json(std::string_view text);
Attributes attributes_from_json(std::string_view text);
std::vector<MemberEnd> ends_from_json(std::string_view text);
OwnedTexts texts_from_json(std::string_view text);

/// `text` with each byte that is no UTF-8 replaced by U+FFFD, cut at its first NUL: what netCDF
/// stores and xarray decodes.
std::string as_utf8(std::string_view text);

}  // namespace manyfold
