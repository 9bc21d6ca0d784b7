// Operands become intervals of a slot's device memory; intervals that overlap are one region; each
// region gets a place in the arena. A walk over one step finds what is read before it is written.
#include "kernels/resident/compile.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/resident/capture.hpp"
#include "kernels/resident/fuse.hpp"

namespace manyfold::kernels::resident {

const char* name_of(Operation operation) {
  switch (operation) {
#define MF_TYPED(name, Args) \
  case Operation::name:      \
    return #name;
#define MF_PLAIN(name, Args) MF_TYPED(name, Args)
#include "kernels/operations.inc"
    case Operation::sampled_product:
      return "sampled_product";
    case Operation::sparse_product:
      return "sparse_product";
    case Operation::sparse_top_layer:
      return "sparse_top_layer";
    case Operation::drawn_descent:
      return "drawn_descent";
  }
  return "?";
}

namespace {

/// Bytes [begin, end) of slot 0.
struct Interval {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::int64_t slot_bytes = 0;
  std::int32_t element_bytes = 0;
};

/// Calls see(pointer, interval, access) for every operand that has a place in the arena; `see` may
/// move the pointer.
template <class See>
class Operands {
 public:
  explicit Operands(const See& see) : see_(see) {}

  template <class U>
  void matrix(MatrixBatch<U>& m, Access access) const {
    if (m.data == nullptr || m.size() == 0 || m.slot_stride == 0) return;
    see(m.data, (m.rows - 1) * m.row_stride + m.cols, m.slot_stride, access);
  }
  template <class U>
  void vector(VectorBatch<U>& v, Access access) const {
    if (v.data == nullptr || v.count == 0 || v.slot_stride == 0) return;
    see(v.data, v.count, v.slot_stride, access);
  }
  template <class U>
  void numbers(U*& first, std::int64_t count, std::int64_t stride, Access access) const {
    if (first == nullptr || count == 0 || stride == 0) return;
    see(first, count, stride, access);
  }
  template <class U>
  void resting(U*&, std::int64_t) const {}

 private:
  template <class U>
  void see(U*& first, std::int64_t count, std::int64_t stride, Access access) const {
    constexpr auto bytes = static_cast<std::int64_t>(sizeof(U));
    const auto begin = reinterpret_cast<std::uintptr_t>(first);
    const Interval interval{begin, begin + static_cast<std::uintptr_t>(count * bytes),
                            stride * bytes, static_cast<std::int32_t>(bytes)};
    auto moved = begin;
    see_(moved, interval, access);
    first = reinterpret_cast<U*>(moved);
  }

  const See& see_;
};

template <class See>
void each_arena_operand(Instruction& instruction, const See& see) {
  const Operands<See> visitor(see);
  with_args(instruction, [&](auto& args) { each_operand(args, visitor); });
}

/// Which bytes of a region have been written since the step began.
class Written {
 public:
  void add(std::uintptr_t begin, std::uintptr_t end) {
    auto at = pieces_.upper_bound(begin);
    if (at != pieces_.begin() && std::prev(at)->second >= begin) {
      --at;
      begin = at->first;
    }
    while (at != pieces_.end() && at->first <= end) {
      end = std::max(end, at->second);
      at = pieces_.erase(at);
    }
    pieces_[begin] = end;
  }
  bool covers(std::uintptr_t begin, std::uintptr_t end) const {
    const auto after = pieces_.upper_bound(begin);
    return after != pieces_.begin() && std::prev(after)->second >= end;
  }

 private:
  std::map<std::uintptr_t, std::uintptr_t> pieces_;
};

class Compiler {
 public:
  Compiler(Calls calls, const CompileArgs& args) : calls_(std::move(calls)), args_(args) {}

  std::unique_ptr<Program> compile() {
    find_regions();
    find_flow();
    place();
    const std::int64_t touched = touched_bytes();
    std::unique_ptr<Program> program = link();
    program->touched_bytes = touched;
    return program;
  }

 private:
  struct Found {
    Interval interval;
    bool load = false;
    bool written = false;
    bool store = false;
    std::int32_t offset = 0;
    const char* first_reader = "";
  };

  template <class See>
  void each(const See& see) {
    for (auto& section : calls_) {
      for (Instruction& instruction : section) each_arena_operand(instruction, see);
    }
  }

  void find_regions() {
    std::vector<Interval> all;
    each([&](std::uintptr_t&, const Interval& interval, Access) { all.push_back(interval); });
    std::sort(all.begin(), all.end(), [](const Interval& a, const Interval& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    for (const Interval& interval : all) {
      if (!regions_.empty() && interval.begin < regions_.back().interval.end) {
        Interval& last = regions_.back().interval;
        if (last.slot_bytes != interval.slot_bytes ||
            last.element_bytes != interval.element_bytes) {
          throw std::logic_error("resident program: two operands overlap in different layouts");
        }
        last.end = std::max(last.end, interval.end);
      } else {
        regions_.push_back({interval});
      }
    }
  }

  Found& region_of(std::uintptr_t address) {
    const auto after = std::upper_bound(
        regions_.begin(), regions_.end(), address,
        [](std::uintptr_t a, const Found& found) { return a < found.interval.begin; });
    return *std::prev(after);
  }

  void find_flow() {
    for (const bool checked : {true, false}) {
      std::map<const Found*, Written> written;
      const auto walk = [&](Section section) {
        for (Instruction& instruction : calls_[section]) {
          // All reads of an operation come before its writes.
          for (const bool writes : {false, true}) {
            each_arena_operand(
                instruction, [&](std::uintptr_t&, const Interval& interval, Access access) {
                  Found& found = region_of(interval.begin);
                  if (!writes && (access == Access::read || access == Access::update) &&
                      !written[&found].covers(interval.begin, interval.end) && !found.load) {
                    found.load = true;
                    found.first_reader = name_of(instruction.operation);
                  }
                  if (writes && (access == Access::write || access == Access::update)) {
                    written[&found].add(interval.begin, interval.end);
                    found.written = true;
                  }
                });
          }
        }
      };
      if (checked) {
        walk(evaluate_checked);
        walk(inspect);
        walk(move_checked);
      } else {
        walk(evaluate);
        walk(move);
      }
    }
    const auto keep = [&](const void* data, std::size_t bytes) {
      const auto begin = reinterpret_cast<std::uintptr_t>(data);
      for (Found& found : regions_) {
        if (begin < found.interval.end && found.interval.begin < begin + bytes) found.store = true;
      }
    };
    for (const Persistent& kept : args_.persistent) keep(kept.data, kept.bytes);
    keep(args_.control.active, sizeof *args_.control.active);
    keep(args_.control.reason, sizeof *args_.control.reason);
    for (Found& found : regions_) {
      if (found.load && found.written && !found.store) {
        throw std::logic_error(std::string("resident program: what ") + found.first_reader +
                               " reads is carried over from step to step, but is not part of a "
                               "member's state");
      }
      found.store = found.store && found.written;
      // What is written in part keeps the rest.
      found.load = found.load || found.store;
    }
  }

  void place() {
    std::int64_t offset = 0;
    for (Found& found : regions_) {
      found.offset = static_cast<std::int32_t>(offset);
      const auto bytes = static_cast<std::int64_t>(found.interval.end - found.interval.begin);
      offset += (bytes + 15) / 16 * 16;
      if (offset > (std::int64_t{1} << 30)) {
        throw std::logic_error("resident program: an arena above 1 GiB");
      }
    }
    arena_bytes_ = offset;
  }

  std::int64_t touched_bytes() {
    constexpr std::int64_t seldom = 10;  // an inspection among so many steps may wait for memory
    if (args_.check_every < seldom) return arena_bytes_;
    std::vector<std::pair<std::uintptr_t, std::uintptr_t>> all;
    for (const Section section : {evaluate, move}) {
      for (Instruction& instruction : calls_[section]) {
        each_arena_operand(instruction, [&](std::uintptr_t&, const Interval& interval, Access) {
          all.emplace_back(interval.begin, interval.end);
        });
      }
    }
    std::sort(all.begin(), all.end());
    std::uintptr_t end = 0;
    std::uintptr_t bytes = 0;
    for (const auto& [first, last] : all) {
      const std::uintptr_t from = std::max(first, end);
      if (last > from) bytes += last - from;
      end = std::max(end, last);
    }
    return static_cast<std::int64_t>(bytes);
  }

  std::int32_t place_of(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    const Found& found = region_of(address);
    return found.offset + static_cast<std::int32_t>(address - found.interval.begin);
  }

  std::unique_ptr<Program> link() {
    each([&](std::uintptr_t& pointer, const Interval& interval, Access) {
      const Found& found = region_of(interval.begin);
      pointer = arena_mark |
                (static_cast<std::uintptr_t>(found.offset) + interval.begin - found.interval.begin);
    });
    auto program = std::make_unique<Program>();
    for (const Found& found : regions_) {
      const auto bytes = static_cast<std::int64_t>(found.interval.end - found.interval.begin);
      program->regions.push_back({reinterpret_cast<std::byte*>(found.interval.begin),
                                  found.interval.slot_bytes, found.interval.element_bytes,
                                  static_cast<std::int32_t>(bytes / found.interval.element_bytes),
                                  found.offset, found.load ? 1 : 0, found.store ? 1 : 0});
    }
    ProgramView& view = program->host;
    for (int section = 0; section < sections; ++section) {
      view.begin[section] = static_cast<std::int32_t>(program->instructions.size());
      for (const Instruction& instruction : calls_[static_cast<std::size_t>(section)]) {
        program->instructions.push_back(instruction);
        view.element_bytes = std::max(view.element_bytes, instruction.element_bytes);
      }
    }
    view.begin[sections] = static_cast<std::int32_t>(program->instructions.size());
    view.regions = program->regions.data();
    view.region_count = static_cast<std::int32_t>(program->regions.size());
    view.instructions = program->instructions.data();
    view.check_every = args_.check_every;
    view.arena_bytes = arena_bytes_;
    view.active = place_of(args_.control.active);
    view.step = place_of(args_.control.step);
    view.active_of = args_.control.active;
    view.step_of = args_.control.step;
    return program;
  }

  Calls calls_;
  const CompileArgs& args_;
  std::vector<Found> regions_;
  std::int64_t arena_bytes_ = 0;
};

/// Element types of a step's typed operations, in bytes. Lanes are as many as a vector has
/// elements, so there can be but one.
std::set<std::int32_t> element_types(const Calls& calls) {
  std::set<std::int32_t> found;
  for (const auto& section : calls) {
    for (const Instruction& instruction : section) {
      if (instruction.element_bytes != 0) found.insert(instruction.element_bytes);
    }
  }
  return found;
}

/// Copies to the device what an interpreter there reads. A CPU reads the host's.
void upload(Executor& executor, Program& program) {
  program.device = program.host;
  if (executor.device().kind == "cpu") return;
  const std::size_t region_bytes = program.regions.size() * sizeof(Region);
  const std::size_t instruction_bytes = program.instructions.size() * sizeof(Instruction);
  std::vector<std::byte> image(region_bytes + instruction_bytes + sizeof(Launch));
  std::memcpy(image.data(), program.regions.data(), region_bytes);
  std::memcpy(image.data() + region_bytes, program.instructions.data(), instruction_bytes);
  program.device_memory = Buffer<std::byte>(executor, static_cast<std::int64_t>(image.size()));
  program.device_memory.upload(image);
  program.device.regions = reinterpret_cast<const Region*>(program.device_memory.data());
  program.device.instructions =
      reinterpret_cast<const Instruction*>(program.device_memory.data() + region_bytes);
  program.device.launch =
      reinterpret_cast<Launch*>(program.device_memory.data() + region_bytes + instruction_bytes);
}

}  // namespace

Compiled compile(Executor& executor, const CompileArgs& args) {
  Calls calls;
  {
    Capture capture(executor);
    const auto keep = [&](Section section, const std::function<void()>& body) {
      body();
      calls[section] = capture.take();
    };
    keep(evaluate_checked, args.evaluate_checked);
    keep(inspect, args.inspect);
    keep(evaluate, args.evaluate);
    keep(move, args.move);
    calls[move_checked] = calls[move];
    if (!capture.refused().empty()) {
      return {nullptr, capture.refused() + " has no resident form"};
    }
  }
  if (element_types(calls).size() > 1) {
    return {nullptr, "a step of two precisions has no resident form"};
  }
  PatternMemory patterns;
  fuse_drawn(calls);
  if (executor.device().kind == "cpu") fuse_masks(executor, calls, patterns);
  Compiled compiled{Compiler(std::move(calls), args).compile(), {}};
  compiled.program->patterns = std::move(patterns);
  upload(executor, *compiled.program);
  return compiled;
}

}  // namespace manyfold::kernels::resident
