// Names the arrays of a data set.
#include "models/data/drawn_arrays.hpp"

#include <string>
#include <utility>

namespace manyfold {
namespace {

void add_set(const std::string& prefix, const std::string& purpose, DataSet set,
             std::vector<DrawnArray>& arrays) {
  const std::int64_t count = set.count();
  std::vector<std::int64_t> shape = set.shape;
  shape.insert(shape.begin(), count);
  arrays.push_back({prefix + "inputs",
                    "inputs to " + purpose + " on, as the network sees them",
                    {.shape = std::move(shape), .values = std::move(set.inputs), .type = "f8"}});
  arrays.push_back(
      {prefix + "targets",
       "what the network should make of them",
       {.shape = {count, set.outputs}, .values = std::move(set.targets), .type = "f8"}});
  if (set.classes == 0) return;
  arrays.push_back(
      {prefix + "labels",
       "their classes, from 0",
       {.shape = {count}, .values = {set.labels.begin(), set.labels.end()}, .type = "f8"}});
}

}  // namespace

std::vector<DrawnArray> drawn_arrays(Data data) {
  std::vector<DrawnArray> arrays;
  add_set("", "train", std::move(data.train), arrays);
  if (data.test.count() > 0) add_set("test_", "test", std::move(data.test), arrays);
  return arrays;
}

}  // namespace manyfold
