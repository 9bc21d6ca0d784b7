// What benchmarks share: interleaved timing and the rows that are printed as a table and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "apps/manyfold/command.hpp"
#include "core/executor/executor.hpp"

namespace manyfold::apps {

struct BenchFlags {
  DeviceFlags device;
  bool json = false;
  double seconds = 1.0;  ///< of one measurement
  int repeats = 5;       ///< measurements, of which the median is reported
  std::int64_t members = 256;
};

struct BenchPeer {
  std::string name;
  std::string version;
  double value = 0;
  double ratio = 0;  ///< ours over the peer's, in throughput
};

struct BenchRow {
  std::string name;
  std::string device;
  std::string precision;
  std::int64_t members = 0;
  double value = 0;
  std::string unit;
  int median_of = 0;
  double peak = 0;  ///< measured in the same run
  std::string peak_unit;
  double share_of_peak = 0;
  std::string formula;  ///< operations per unit of `value`
  std::vector<BenchPeer> peers;
  bool checked = false;  ///< the result was compared before anything was timed
};

double median(std::vector<double> values);
nlohmann::json host_json(const Executor& executor);
void print_rows(const std::vector<BenchRow>& rows, const Executor& executor, bool json);

/// Rows of `manyfold bench factorization`.
std::vector<BenchRow> bench_factorization(Executor& executor, const BenchFlags& flags);

}  // namespace manyfold::apps
