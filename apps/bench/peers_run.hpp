// The other frameworks on the rows of a benchmark, through apps/bench/peers/run_peers.py.
#pragma once

#include <string>
#include <vector>

#include "apps/bench/bench.hpp"

namespace manyfold::apps {

/// A row that peers can measure: the case of the peers' workloads, "greedy-2-full.m256.f64".
struct PeerCase {
  BenchRow* row = nullptr;
  std::string key;
};

/// Throws InputError, naming what to run, where the script or its environments are missing: they
/// are looked for in the repository around the working directory, then in that around the program.
void require_peers();

/// Fills `peers` of every row, slow: minutes a row at full scale. What the script says goes to
/// standard error. A peer that fails leaves its rows out; throws DeviceError where the script does.
void run_peers(const std::vector<PeerCase>& cases, const Executor& executor,
               const BenchFlags& flags);

}  // namespace manyfold::apps
