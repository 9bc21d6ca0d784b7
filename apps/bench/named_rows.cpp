// Runs rows by name, and peers beside them.
#include "apps/bench/named_rows.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "apps/bench/peers_run.hpp"
#include "core/error.hpp"

namespace manyfold::apps {

std::string rows_text(std::span<const NamedRow> rows) {
  std::string text;
  for (const NamedRow& row : rows) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", row.name, row.doc);
  }
  return text;
}

std::vector<BenchRow> run_rows(std::span<const NamedRow> all, Executor& executor,
                               const BenchFlags& flags) {
  for (const std::string& wanted : flags.rows) {
    std::string names;
    bool known = false;
    for (const NamedRow& row : all) {
      known = known || wanted == row.name;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", row.name);
    }
    if (!known) {
      throw InputError(fmt::format("--rows: found \"{}\", expected some of {}", wanted, names));
    }
  }
  if (flags.peers) {
    if (flags.members_given) {
      throw InputError(
          "--members goes with no --peers: expected the members of a scale, which the peers have");
    }
    require_peers();
  }
  std::vector<BenchRow> rows;
  std::vector<std::size_t> with_peers;
  for (const NamedRow& row : all) {
    if (!flags.rows.empty() && std::ranges::find(flags.rows, row.name) == flags.rows.end())
      continue;
    for (BenchRow& measured : row.run(executor, flags)) {
      if (row.has_peers) with_peers.push_back(rows.size());
      rows.push_back(std::move(measured));
    }
  }
  if (flags.peers) {
    std::vector<PeerCase> cases;
    for (const std::size_t r : with_peers) {
      cases.push_back(
          {&rows[r], fmt::format("{}.m{}.{}", rows[r].name, rows[r].members, rows[r].precision)});
    }
    run_peers(cases, executor, flags);
  }
  return rows;
}

}  // namespace manyfold::apps
