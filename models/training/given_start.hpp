// Starts that are given, not drawn: from array files, and from another record. For every kind of
// model whose parameters are matrices in a row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/settings.hpp"

namespace manyfold {

/// One of the arrays that a member's parameters are.
struct GivenArray {
  std::string name;  ///< "W_1", "b_1": of variables in records and archives
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  /// (rows, channels, taps...) of a filter as PyTorch has it, which files may have in place of
  /// (rows, cols) with the channel last; empty: not a filter.
  std::vector<std::int64_t> filter{};

  std::int64_t size() const { return rows * cols; }
};

/// All of them, in the order in which they stand among the parameters.
struct GivenLayout {
  std::vector<GivenArray> arrays;
  std::string text;                     ///< of messages: "the layers 4-3-4"
  std::vector<GivenArray> untrained{};  ///< what an archive may have besides, by its name
};

struct GivenStart {
  std::vector<double> parameters;
  /// One for each of GivenLayout::untrained; empty where there is none.
  std::vector<std::vector<double>> untrained;
};

/// What init.path names. A vector may stand for an array of one row. Throws InputError: what is
/// wrong with a file, a shape that is not the array's, a number of arrays that is not theirs, a
/// number that is not finite.
GivenStart start_from_file(const Settings& settings, const GivenLayout& layout);

/// The parameters of init.member at init.sample in the record init.record, bitwise as recorded: in
/// the group family_<k> that has the member, variables W_1, W_2, ... (member, sample, row, col), as
/// the probe `parameters` leaves them. Throws InputError: no record, none with parameters, no such
/// member or sample, arrays of other shapes, a sample with numbers that are not finite.
std::vector<double> start_from_record(const Settings& settings, const GivenLayout& layout);

}  // namespace manyfold
