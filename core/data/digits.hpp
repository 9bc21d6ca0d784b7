// The real data that the program ships: 1797 images of handwritten digits, 8x8 pixels each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace manyfold {

struct Digits {
  static constexpr std::int64_t pixels = 64;
  std::vector<double> images;        ///< (image, pixel), row-major, grey values 0 to 1
  std::vector<std::int64_t> labels;  ///< 0 to 9
  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Reads apps/data's digits.csv.gz where the program was installed or built (environment variable
/// MANYFOLD_DATA names another folder). Read once per process. Throws InputError naming the places
/// tried, or the line that is no image.
const Digits& digits();

/// The folder that holds the shipped data. Throws InputError.
std::filesystem::path data_folder();

}  // namespace manyfold
