// Weight sharing and sparsity by an explicit pattern: W[i,j] = v[g(i,j)] or 0 (Du, Hu, Lee 2018,
// section 2.2). A file has the number of the free parameter at each entry; v is trained, and what
// gradient flow conserves is over v.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "models/network/layer.hpp"

namespace manyfold::network {

struct Pattern {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t parameters = 0;  ///< K
  /// (rows, cols) row-major: k = 1 ... K where v_k stands, 0 where the entry is 0.
  std::vector<std::int32_t> numbers;
  /// Entries of v_1, then those of v_2, ..., each ascending, counted row by row: those of v_k are
  /// places[begins[k - 1]] to places[begins[k] - 1].
  std::vector<std::int32_t> places;
  std::vector<std::int32_t> begins;  ///< K + 1
  std::int64_t fan_in = 0;           ///< the most entries of a row that are not 0
  std::uint64_t hash = 0;            ///< of the numbers

  /// Whether each parameter stands once: the matrix is sparse, and shares nothing.
  bool shares_nothing() const { return static_cast<std::int64_t>(places.size()) == parameters; }
  /// "5 parameters in 4x6, 00112233aabbccdd": other numbers give another text.
  std::string text() const;
};

/// model.patterns, legal under `when`.
void add_pattern_keys(Spec& spec, std::vector<Condition> when);
/// The file of each layer that has a pattern, from the input. Throws InputError: another number of
/// files than such layers.
std::vector<std::string> pattern_files(const Settings& settings, const std::vector<Layer>& layers);
/// What is in one of model.patterns; those read last are kept while their files do not change.
/// Throws InputError: what reading the file does, no matrix, numbers that are not whole or below 0,
/// a number left out, no parameter at all.
std::shared_ptr<const Pattern> read_pattern(const Settings& settings, const std::string& file);

}  // namespace manyfold::network
