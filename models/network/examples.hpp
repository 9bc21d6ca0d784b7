// A data set on a device: one for all slots, or one for each.
#pragma once

#include <cstdint>
#include <vector>

#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "core/view.hpp"
#include "models/data/data_set.hpp"
#include "models/network/problem.hpp"

namespace manyfold::network {

template <class T>
class Examples {
 public:
  /// Room for `count` examples of that size; `channel_last`: images and signals are turned from
  /// (channel, y, x) to (y, x, channel).
  Examples(Executor& executor, const DataSize& size, std::int64_t count, std::int64_t slots,
           bool shared, bool channel_last);
  static std::size_t bytes(const DataSize& size, std::int64_t count);

  /// The examples of a slot, or of all where they are shared.
  void load(std::int64_t slot, const DataSet& set);

  std::int64_t count() const { return count_; }
  /// Examples first, first + 1, ...: (slot, row, feature).
  MatrixBatch<const T> inputs(std::int64_t first, std::int64_t count) const;
  MatrixBatch<const T> inputs() const { return inputs(0, count_); }
  MatrixBatch<const T> targets() const;            ///< (slot, example, output); no data: none
  VectorBatch<const std::int32_t> labels() const;  ///< (slot, example); no data: none

 private:
  Shape shape_;
  std::int64_t outputs_;
  std::int64_t count_;
  std::int64_t slots_;
  bool shared_;
  bool channel_last_;
  Buffer<T> inputs_;
  Buffer<T> targets_;
  Buffer<std::int32_t> labels_;
};

}  // namespace manyfold::network
