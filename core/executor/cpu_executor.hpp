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

/// Calls body(begin, end) for the pieces of [0, count), each `piece` long but the last: on
/// `threads` threads where the caller's is the only one at work (operations on fewer slots than
/// there are threads), else one after another. Where it is cut depends on count and piece alone.
void in_several_pieces(int threads, std::int64_t count, std::int64_t piece,
                       const std::function<void(std::int64_t begin, std::int64_t end)>& body);
template <class Body>
void in_pieces(int threads, std::int64_t count, std::int64_t piece, const Body& body) {
  if (count <= piece) {
    body(std::int64_t{0}, count);
  } else {
    in_several_pieces(threads, count, piece, body);
  }
}
/// Elements of a slot that are worth a thread.
inline constexpr std::int64_t element_piece = std::int64_t{1} << 16;

/// Gives the BLAS that many threads of its own while it lives, where the caller's is the only one
/// at work; else, and afterwards, it has one.
class BlasThreads {
 public:
  explicit BlasThreads(int threads);
  BlasThreads(const BlasThreads&) = delete;
  BlasThreads& operator=(const BlasThreads&) = delete;
  ~BlasThreads();

 private:
  bool given_;
};

/// Bytes of one core's L2 cache; 1 MiB where the system does not say.
std::size_t l2_bytes();

/// Scratch memory of the calling thread, 64-byte aligned, valid until its next call on that thread.
void* thread_scratch(std::size_t bytes);

}  // namespace manyfold
