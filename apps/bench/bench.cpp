// Tables and JSON of benchmarks.
#include "apps/bench/bench.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/version.hpp"

namespace manyfold::apps {
namespace {

nlohmann::json or_null(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

}  // namespace

nlohmann::json host_json(const Executor& executor) {
  const DeviceDescription& device = executor.device();
  return {{"device", device.kind},
          {"name", device.name},
          {"driver", device.driver},
          {"instruction_set", device.instruction_set},
          {"compute_units", device.compute_units},
          {"version", version()},
          {"commit", commit()}};
}

void print_rows(const std::vector<BenchRow>& rows, const Executor& executor, bool json) {
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const BenchRow& row : rows) {
      nlohmann::json peers = nlohmann::json::array();
      for (const BenchPeer& peer : row.peers) {
        peers.push_back({{"name", peer.name},
                         {"version", peer.version},
                         {"value", peer.value},
                         {"ratio", peer.ratio},
                         {"peak_rss_bytes", or_null(peer.peak_rss_bytes)}});
      }
      list.push_back({{"name", row.name},
                      {"device", row.device},
                      {"precision", row.precision},
                      {"members", row.members},
                      {"value", row.value},
                      {"unit", row.unit},
                      {"median_of", row.median_of},
                      {"peak", row.peak},
                      {"peak_unit", row.peak_unit},
                      {"share_of_peak", row.share_of_peak},
                      {"path", row.path},
                      {"executed_share", row.executed_share},
                      {"bandwidth", or_null(row.bandwidth)},
                      {"floor", row.floor},
                      {"share_of_floor", row.share_of_floor},
                      {"utilization", or_null(row.utilization)},
                      {"utilization_before_drain", or_null(row.utilization_before_drain)},
                      {"product_rate", or_null(row.product_rate)},
                      {"share_of_product", or_null(row.share_of_product)},
                      {"look_steps", or_null(row.look_steps)},
                      {"planned_bytes", or_null(row.planned_bytes)},
                      {"peak_rss_bytes", or_null(row.peak_rss_bytes)},
                      {"formula", row.formula},
                      {"peers", peers},
                      {"checked", row.checked}});
    }
    fmt::print("{}\n", nlohmann::json{{"host", host_json(executor)}, {"rows", list}}.dump());
    return;
  }
  const DeviceDescription& device = executor.device();
  fmt::print("{} ({}, {}, {} {})\n", device.kind, device.name, device.instruction_set,
             device.compute_units, device.kind == "cpu" ? "threads" : "multiprocessors");
  fmt::print("{:<24}{:<10}{:>8}{:>14} {:<16}{:>16}{:>8}  {:<12}{:<10}{}\n", "row", "precision",
             "members", "value", "unit", "measured peak", "share", "of floor", "path", "checked");
  for (const BenchRow& row : rows) {
    const std::string floor =
        row.floor.empty() ? "" : fmt::format("{:.1f}% {}", 100 * row.share_of_floor, row.floor);
    fmt::print("{:<24}{:<10}{:>8}{:>14.4g} {:<16}{:>8.1f} {:<7}{:>7.1f}%  {:<12}{:<10}{}\n",
               row.name, row.precision, row.members, row.value, row.unit, row.peak, row.peak_unit,
               100 * row.share_of_peak, floor, row.path, row.checked ? "yes" : "no");
    if (row.executed_share < 1) {
      fmt::print("    {:.1f} % of the operations carried out, at {:.1f} % of the peak\n",
                 100 * row.executed_share, 100 * row.executed_share * row.share_of_peak);
    }
    if (row.bandwidth) fmt::print("    L2 bandwidth {:.1f} GB/s\n", *row.bandwidth);
    if (row.product_rate) {
      fmt::print("    a large product has {:.1f} GFLOP/s: {:.1f} % of it\n",
                 *row.product_rate / 1e9, 100 * row.share_of_product.value_or(0));
    }
    if (row.look_steps) {
      fmt::print("    a look takes as long as {:.1f} steps: {:.2f} % where it comes every 1000\n",
                 *row.look_steps, *row.look_steps / 10);
    }
    if (row.utilization) {
      fmt::print("    utilization {:.1f} %, {:.1f} % before the drain\n", 100 * *row.utilization,
                 100 * row.utilization_before_drain.value_or(0));
    }
    if (row.planned_bytes) {
      fmt::print("    memory {:.0f} MB planned{}\n", *row.planned_bytes / 1e6,
                 row.peak_rss_bytes
                     ? fmt::format(", {:.0f} MB of the process", *row.peak_rss_bytes / 1e6)
                     : "");
    }
    for (const BenchPeer& peer : row.peers) {
      fmt::print("    {:<20}{:<18}{:>14.4g} {:<16} ours is {:.2f} times as fast\n", peer.name,
                 peer.version, peer.value, row.unit, peer.ratio);
      if (row.planned_bytes && peer.peak_rss_bytes) {
        fmt::print("{:>42.0f} MB of its process\n", *peer.peak_rss_bytes / 1e6);
      }
    }
  }
  std::string last;
  for (const BenchRow& row : rows) {
    if (row.formula != last) fmt::print("operations: {}\n", row.formula);
    last = row.formula;
  }
}

}  // namespace manyfold::apps
