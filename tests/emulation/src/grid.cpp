// Spreads the blocks of a grid over a few operating-system threads. The launching thread always
// takes part; helpers join if they wake up in time, so that a process that lost them (a forked
// child of a death test) still gets its work done.
#include <algorithm>
#include <condition_variable>
#include <numeric>
#include <thread>

#include "block.hpp"
#include "settings.hpp"
#include <pthread.h>

namespace emulation::detail {
namespace {

// Blocks in a random order without storing it: i -> (a i + b) mod n with a coprime to n.
class BlockOrder {
 public:
  BlockOrder(const Grid& grid, std::uint64_t blocks) : blocks_(blocks) {
    Random random(grid.seed ^ mix(grid.launch + 0x51ed27));
    offset_ = random.next() % blocks;
    do {
      step_ = random.next() % blocks;
    } while (std::gcd(step_, blocks) != 1);
  }

  uint3 operator()(std::uint64_t i, const dim3& grid) const {
    __extension__ typedef unsigned __int128 Wide;
    const auto linear =
        static_cast<std::uint64_t>((static_cast<Wide>(step_) * i + offset_) % blocks_);
    const std::uint64_t plane = linear / grid.x;
    return uint3{static_cast<unsigned int>(linear % grid.x),
                 static_cast<unsigned int>(plane % grid.y),
                 static_cast<unsigned int>(plane / grid.y)};
  }

 private:
  std::uint64_t blocks_;
  std::uint64_t offset_ = 0;
  std::uint64_t step_ = 0;
};

struct Job {
  explicit Job(Grid& g)
      : grid(g),
        blocks(static_cast<std::uint64_t>(g.grid.x) * g.grid.y * g.grid.z),
        order(g, blocks) {}

  Grid& grid;
  std::uint64_t blocks;
  BlockOrder order;
  std::uint64_t chunk = 1;
  std::atomic<std::uint64_t> next{0};

  void work() {
    BlockRunner& runner = BlockRunner::mine();
    while (!grid.failed.load(std::memory_order_relaxed)) {
      const std::uint64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
      if (begin >= blocks) return;
      const std::uint64_t end = std::min(begin + chunk, blocks);
      for (std::uint64_t i = begin; i < end && !grid.failed.load(std::memory_order_relaxed); ++i) {
        runner.run(grid, order(i, grid.grid));
      }
    }
  }
};

class Helpers {
 public:
  // Never destroyed: helpers may outlive every static object.
  static Helpers& instance() {
    static std::atomic<Helpers*> helpers{nullptr};
    static std::once_flag once;
    std::call_once(once, [] {
      helpers = new Helpers;
      // A forked child has none of the threads; it starts over with a new set. The lock is held
      // over the fork so that the child's copy of the state is consistent.
      pthread_atfork([] { helpers.load()->mutex_.lock(); }, [] { helpers.load()->mutex_.unlock(); },
                     [] {
                       Helpers* lost = helpers.load();
                       helpers = new Helpers;
                       helpers.load()->wanted_ = lost->wanted_;
                       abandoned() = lost;
                     });
    });
    return *helpers;
  }

  void set_count(unsigned int count) {
    const std::lock_guard lock(mutex_);
    wanted_ = count == 0 ? default_count() : std::min(count, most_threads);
  }

  unsigned int count() {
    const std::lock_guard lock(mutex_);
    return wanted_;
  }

  void run(Job& job) {
    std::uint64_t useful = 0;
    {
      const std::lock_guard lock(mutex_);
      useful = std::min<std::uint64_t>(wanted_, job.blocks);
      job.chunk = std::clamp<std::uint64_t>(job.blocks / (useful * 16), 1, 256);
      if (useful > 1) {
        while (started_ + 1 < wanted_) {
          const unsigned int number = ++started_;
          std::thread([this, number] { serve(number); }).detach();
        }
        job_ = &job;
        ++generation_;
      }
    }
    if (useful > 1) wake_.notify_all();
    job.work();
    if (useful > 1) {
      std::unique_lock lock(mutex_);
      job_ = nullptr;  // nobody joins any more
      idle_.wait(lock, [this] { return busy_ == 0; });
    }
  }

 private:
  // Each thread maps a stack for every thread of its block: more of them than this would run into
  // the kernel's limit on mappings.
  static constexpr unsigned int most_threads = 16;

  static unsigned int default_count() {
    const unsigned int processors = std::max(1U, std::thread::hardware_concurrency());
    return static_cast<unsigned int>(
        std::clamp(environment_number("EMULATION_THREADS", processors), 1.0, double{most_threads}));
  }

  // Keeps what a child lost reachable, for leak checkers.
  static Helpers*& abandoned() {
    static Helpers* lost = nullptr;
    return lost;
  }

  void serve(unsigned int number) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return job_ != nullptr && generation_ != seen && number < wanted_; });
      seen = generation_;
      Job* job = job_;
      ++busy_;
      lock.unlock();
      job->work();
      lock.lock();
      if (--busy_ == 0) idle_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  unsigned int wanted_ = default_count();  // threads, the launching one included
  unsigned int started_ = 0;               // helpers
  unsigned int busy_ = 0;
  std::uint64_t generation_ = 0;
  Job* job_ = nullptr;
};

}  // namespace

void run_grid(Grid& grid) {
  Job job(grid);
  Helpers::instance().run(job);
}

void set_grid_threads(unsigned int count) { Helpers::instance().set_count(count); }

unsigned int grid_threads() { return Helpers::instance().count(); }

}  // namespace emulation::detail
