// The documentation of the keys of an experiment, from the table that validation reads.
#pragma once

#include <string>
#include <string_view>

#include "core/config/spec.hpp"

namespace manyfold {

/// A page in Markdown: a section for each table, a row for each key.
std::string reference_markdown(const Spec& spec);

/// Plain text on the key `path`, or on every key of the table `path` ("" for all of them). Throws
/// InputError where nothing is known under `path`.
std::string reference_text(const Spec& spec, std::string_view path);

}  // namespace manyfold
