// Fills the CPU's table and chooses the instruction set of the hot loops.
#include "kernels/cpu/table.hpp"

#include <cstdlib>
#include <string>

#include "core/error.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/loops.hpp"
#include "kernels/cpu/operations.hpp"

namespace manyfold::kernels::cpu {
namespace {

struct Choice {
  const Loops* loops;
  const LaneLoops* lane_loops;
  bool available;
};

const Choice& choose() {
#if defined(__x86_64__)
  static const Choice choices[] = {
      {&avx512::loops, &avx512::lane_loops, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl") &&
                           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma")},
      {&avx2::loops, &avx2::lane_loops, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
      {&portable::loops, &portable::lane_loops, true},
  };
#else
  static const Choice choices[] = {{&portable::loops, &portable::lane_loops, true}};
#endif
  const char* wanted = std::getenv("MANYFOLD_ISA");
  std::string known;
  for (const Choice& choice : choices) {
    if (wanted == nullptr || *wanted == '\0') {
      if (choice.available) return choice;
    } else if (std::string_view(wanted) == choice.loops->name) {
      if (choice.available) return choice;
      throw InputError("MANYFOLD_ISA=" + std::string(wanted) + ": this processor lacks it");
    }
    known += known.empty() ? choice.loops->name : std::string(", ") + choice.loops->name;
  }
  throw InputError("MANYFOLD_ISA=" + std::string(wanted) + " is none of: " + known);
}

#include "kernels/fill_tables.inc"

}  // namespace

namespace {

const Choice& chosen() {
  static const Choice& choice = choose();
  return choice;
}

}  // namespace

const Loops& chosen_loops() { return *chosen().loops; }
const LaneLoops& chosen_lane_loops() { return *chosen().lane_loops; }

std::string_view instruction_set() { return chosen_loops().name; }

const KernelTables& cpu_tables() {
  (void)chosen_loops();  // a wrong MANYFOLD_ISA shows here, not in the first kernel
  static const KernelTables tables = all_tables();
  return tables;
}

}  // namespace manyfold::kernels::cpu
