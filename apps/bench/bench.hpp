// What benchmarks share: interleaved timing and the rows that are printed as a table and as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/manyfold/command.hpp"
#include "core/executor/executor.hpp"

namespace manyfold::apps {

struct BenchFlags {
  DeviceFlags device;
  bool json = false;
  double seconds = 1.0;  ///< of one measurement
  int repeats = 5;       ///< measurements, of which the median is reported
  std::int64_t members = 256;
  bool members_given = false;  ///< on the command line: a scale has members of its own
  std::vector<std::string> rows;
  bool full = false;  ///< scale "full", not "quick"
  bool peers = false;

  /// Members of a row at the scale asked for, unless they were given.
  std::int64_t members_of(std::int64_t quick, std::int64_t whole) const {
    if (members_given) return members;
    return full ? whole : quick;
  }
};

struct BenchPeer {
  std::string name;
  std::string version;
  double value = 0;
  double ratio = 0;                        ///< ours over the peer's, in throughput
  std::optional<double> peak_rss_bytes{};  ///< of its process
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
  std::string path;     ///< "resident" or "batched", where there is a choice
  /// Operations carried out over those of the formula: below 1 where a method needs fewer.
  double executed_share = 1;
  std::optional<double> bandwidth{};    ///< of the L2 caches, GB/s, where it may bind
  double share_of_floor = 0;            ///< of the slower of the floors; 0: none was measured
  std::string floor;                    ///< which one that is: "FMA" or "L2"
  std::optional<double> utilization{};  ///< RunSummary::utilization()
  std::optional<double> utilization_before_drain{};
  std::optional<double> product_rate{};      ///< operations/s of one large product in the same run
  std::optional<double> share_of_product{};  ///< operations of the formula over that
  std::optional<double> look_steps{};     ///< steps that take as long as a look at the row's probes
  std::optional<double> planned_bytes{};  ///< allocated for what the row computes
  std::optional<double> peak_rss_bytes{};  ///< of this process, while the row was timed
  std::vector<BenchPeer> peers;
  bool checked = false;  ///< the result was compared before anything was timed
};

nlohmann::json host_json(const Executor& executor);
void print_rows(const std::vector<BenchRow>& rows, const Executor& executor, bool json);

/// Rows of `manyfold bench factorization`.
std::vector<BenchRow> bench_factorization(Executor& executor, const BenchFlags& flags);
/// Rows of `manyfold bench resident`: those named in flags.rows, or all. Throws InputError for a
/// name that is none, and where peers are asked for that are not there.
std::vector<BenchRow> bench_resident(Executor& executor, const BenchFlags& flags);
/// "scalar-map: ...; table: ...", for the help.
std::string resident_rows_text();
/// Rows of `manyfold bench networks`, chosen as those of `bench resident` are.
std::vector<BenchRow> bench_networks(Executor& executor, const BenchFlags& flags);
std::string network_rows_text();
/// Rows of `manyfold bench spectra`, chosen as those of `bench resident` are.
std::vector<BenchRow> bench_spectra(Executor& executor, const BenchFlags& flags);
std::string spectra_rows_text();

}  // namespace manyfold::apps
