// The floors of a CPU that rows are held against, measured in between what is measured against
// them.
#pragma once

#include <string>
#include <vector>

#include "apps/bench/bench.hpp"

namespace manyfold::apps {

/// On a GPU none is measured here: its rows stand beside the peers' large product.
class Floors {
 public:
  /// `with_bandwidth`: of the L2 caches, too. `seconds`: of one measurement.
  Floors(const Executor& executor, std::string precision, bool with_bandwidth, double seconds);

  void measure();
  /// Shares of a row's value, by the operations and bytes of one unit; medians of what was
  /// measured.
  void state_shares(BenchRow& row, double operations, double bytes = 0) const;

 private:
  bool on_cpu_;
  bool with_bandwidth_;
  int threads_;
  double seconds_;
  std::string precision_;
  std::vector<double> operations_;
  std::vector<double> bytes_;
};

}  // namespace manyfold::apps
