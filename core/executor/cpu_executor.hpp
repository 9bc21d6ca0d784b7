// The CPU as a device: threads over slots, no streams, no copies to wait for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "core/executor/executor.hpp"

namespace manyfold {

/// Slots [begin, end).
struct SlotRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// One operation on a range of slots; called by several threads at once with disjoint ranges.
using SlotOperation = std::function<void(SlotRange)>;

class CpuExecutor : public Executor {
 public:
  /// What every CPU kernel calls: carries `operation` out for `slots` slots, in parallel, or keeps
  /// it when a program is being recorded. A slot's result must not depend on how slots are grouped.
  virtual void for_slots(std::int64_t slots, SlotOperation operation) = 0;
  virtual int threads() const = 0;
};

struct CpuOptions {
  int threads = 0;                ///< 0: one per core this process may use
  std::size_t memory_budget = 0;  ///< 0: three quarters of the memory available now
};

/// `tables` are the CPU kernels (kernels/backends.hpp passes them). BLAS is set to one thread:
/// parallelism is over slots.
std::unique_ptr<CpuExecutor> make_cpu_executor(const CpuOptions& options,
                                               const kernels::KernelTables& tables,
                                               std::string_view instruction_set);

/// Bytes of one core's L2 cache; 1 MiB where the system does not say.
std::size_t l2_bytes();

/// Scratch memory of the calling thread, 64-byte aligned, valid until its next call on that thread.
void* thread_scratch(std::size_t bytes);

}  // namespace manyfold
