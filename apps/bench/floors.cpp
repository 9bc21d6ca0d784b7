// Multiply-adds and copies within the L2 caches, as fast as this machine does them.
#include "apps/bench/floors.hpp"

#include <utility>

#include "apps/manyfold/summary.hpp"
#include "kernels/cpu/fma_peak.hpp"
#include "kernels/cpu/l2_bandwidth.hpp"

namespace manyfold::apps {

Floors::Floors(const Executor& executor, std::string precision, bool with_bandwidth, double seconds)
    : on_cpu_(executor.device().kind == "cpu"),
      with_bandwidth_(with_bandwidth),
      threads_(executor.device().compute_units),
      seconds_(seconds),
      precision_(std::move(precision)) {}

void Floors::measure() {
  if (!on_cpu_) return;
  operations_.push_back(precision_ == "f64"
                            ? kernels::cpu::measure_fma_peak<double>(seconds_, threads_)
                            : kernels::cpu::measure_fma_peak<float>(seconds_, threads_));
  if (with_bandwidth_) {
    bytes_.push_back(kernels::cpu::measure_l2_bandwidth(seconds_, threads_));
  }
}

void Floors::state_shares(BenchRow& row, double operations, double bytes) const {
  if (!on_cpu_) return;
  const double peak = median(operations_);
  row.peak = peak * 1e-9;
  row.peak_unit = "GFLOP/s";
  row.share_of_peak = row.value * operations / peak;
  row.floor = "FMA";
  // What is not carried out does not count against the floor of what is.
  row.share_of_floor = row.share_of_peak * row.executed_share;
  if (!with_bandwidth_) return;
  const double bandwidth = median(bytes_);
  row.bandwidth = bandwidth * 1e-9;
  const double share = row.value * bytes / bandwidth;
  if (share > row.share_of_floor) {
    row.floor = "L2";
    row.share_of_floor = share;
  }
}

}  // namespace manyfold::apps
