// manyfold bench: throughput of this machine, as a table or as JSON.
#include "apps/bench/bench.hpp"

#include <cmath>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/error.hpp"

namespace manyfold::apps {
namespace {

struct Benchmark {
  const char* name;
  const char* doc;
  std::vector<BenchRow> (*run)(Executor&, const BenchFlags&);
};

constexpr Benchmark benchmarks[] = {
    {"factorization", "depth-3 factorizations of 20x20 matrices, full-batch gradient descent",
     bench_factorization},
    {"resident", "small members stepped on the chip, beside the floors of their work",
     bench_resident},
    {"networks", "wide, deep, tiny and convolutional nets, beside the rate of a large product",
     bench_networks},
    {"spectra", "eigenvalues at the sizes of kernel matrices", bench_spectra},
};

}  // namespace

Action add_bench(CLI::App& program) {
  const auto flags = std::make_shared<BenchFlags>();
  const auto name = std::make_shared<std::string>();
  CLI::App& command =
      *program.add_subcommand("bench", "Throughput of this machine, as a table or as JSON.");
  std::string names;
  for (const Benchmark& benchmark : benchmarks) {
    names += fmt::format("{}{}: {}", names.empty() ? "" : "; ", benchmark.name, benchmark.doc);
  }
  command.add_option("name", *name, "which benchmark (default: all). " + names);
  flags->device.add_to(command);
  command
      .add_option("--rows", flags->rows,
                  "of resident, comma-separated: " + resident_rows_text() + ". Of networks: " +
                      network_rows_text() + ". Of spectra: " + spectra_rows_text())
      ->delimiter(',');
  const auto scale = std::make_shared<std::string>("quick");
  command
      .add_option("--scale", *scale,
                  "of resident, networks and spectra: sizes of the ensembles, as the peers' scales")
      ->check(CLI::IsMember({"quick", "full"}))
      ->capture_default_str();
  command.add_flag(
      "--peers", flags->peers,
      "of resident, networks and spectra: measure the other frameworks on the same rows, and "
      "state ratios");
  CLI::Option* const members =
      command.add_option("--members", flags->members, "members of the ensemble");
  members->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24))->capture_default_str();
  command.add_option("--seconds", flags->seconds, "length of one measurement")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  command.add_option("--repeats", flags->repeats, "measurements; the median is reported")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command.add_flag("--json", flags->json, "print JSON");
  return [flags, name, scale, members] {
    flags->full = *scale == "full";
    flags->members_given = members->count() > 0;
    if (!std::isfinite(flags->seconds)) {  // no range check of a NaN fails
      throw InputError(
          fmt::format("--seconds {}: expected a number from 0.01 to 3600", flags->seconds));
    }
    const auto executor = kernels::make_executor(flags->device.request());
    std::vector<BenchRow> rows;
    bool known = name->empty();
    for (const Benchmark& benchmark : benchmarks) {
      if (!name->empty() && *name != benchmark.name) continue;
      known = true;
      const auto more = benchmark.run(*executor, *flags);
      rows.insert(rows.end(), more.begin(), more.end());
    }
    if (!known) {
      std::string all;
      for (const Benchmark& benchmark : benchmarks) {
        all += fmt::format("{}{}", all.empty() ? "" : ", ", benchmark.name);
      }
      throw InputError(fmt::format("bench: found \"{}\", expected one of {}", *name, all));
    }
    print_rows(rows, *executor, flags->json);
    return int{exit_done};
  };
}

}  // namespace manyfold::apps
