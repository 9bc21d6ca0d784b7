// Examples as files have them, and which of them a member trains and tests on. For the files of
// this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/settings.hpp"
#include "core/data/array_file.hpp"

namespace manyfold {

/// Inputs of one file, and their labels where they are used.
struct Examples {
  std::string name{};       ///< of the inputs' file, for messages
  std::string input_key{};  ///< the key that names it
  std::string label_name{};
  std::string label_key{};
  std::vector<std::int64_t> shape{};  ///< of one input
  std::int64_t count = 0;
  const double* inputs = nullptr;  ///< (example, shape...)
  double unit = 1;                 ///< what inputs are divided by: 255 where they are bytes
  std::vector<double> labels{};    ///< (example, columns), empty where they are not used
  std::int64_t columns = 0;
  std::shared_ptr<const Array> held{};  ///< what `inputs` points into
};

/// Which examples of a file, by number, in order.
using Rows = std::vector<std::int64_t>;

struct Chosen {
  Examples train;
  std::optional<Examples> test;       ///< of files of their own; else tests are out of `train`
  std::vector<std::int64_t> classes;  ///< labels of class 0, 1, ...; empty where there are none
  Rows train_rows;
  Rows test_rows;

  const Examples& tests() const { return test ? *test : train; }
};

/// Loads the examples of a source that is not drawn and chooses among them. Throws InputError.
Chosen choose_examples(const Settings& settings);

}  // namespace manyfold
