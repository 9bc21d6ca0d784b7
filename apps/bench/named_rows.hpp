// Benchmarks that consist of rows which can be asked for by name.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "apps/bench/bench.hpp"

namespace manyfold::apps {

struct NamedRow {
  const char* name;
  const char* doc;
  std::vector<BenchRow> (*run)(Executor&, const BenchFlags&);
  bool has_peers;  ///< a workload of that name exists, with the members of the scale
};

/// "scalar-map: ...; table: ...", for the help.
std::string rows_text(std::span<const NamedRow> rows);

/// The rows in flags.rows, or all, with their peers where flags ask for them. Throws InputError for
/// a name that is none, and where peers are asked for that are not there.
std::vector<BenchRow> run_rows(std::span<const NamedRow> all, Executor& executor,
                               const BenchFlags& flags);

}  // namespace manyfold::apps
