// Resident stepping on the CPU. Each thread has one arena, its members side by side in the lanes of
// a vector: as many as a vector has elements of T. A lane whose member ended or reached its target
// writes it back and takes the next one of the list at once, while the others go on.
//
// Operations on whole arrays are the lane loops (lanes.hpp). Operations on a member's numbers are
// the element bodies of the batched path: an array of one number a slot looks the same with a lane
// in the place of the slot. Lanes without a member are computed along and never looked at.
#include "kernels/resident.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kernels/common/draws.hpp"
#include "kernels/common/schedule.hpp"
#include "kernels/common/updates.hpp"
#include "kernels/cpu/activation.hpp"
#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/lanes.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/perturb.hpp"
#include "kernels/cpu/singular_values.hpp"
#include "kernels/elements/combine.hpp"
#include "kernels/elements/drawn_residual.hpp"
#include "kernels/elements/draws.hpp"
#include "kernels/elements/examples.hpp"
#include "kernels/elements/reduce.hpp"
#include "kernels/elements/scaling.hpp"
#include "kernels/elements/spectrum.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/elements/teacher.hpp"
#include "kernels/elements/updates.hpp"
#include "kernels/elements/watch.hpp"
#include "kernels/resident/capture.hpp"

namespace manyfold::kernels::cpu {
namespace {

using resident::Instruction;
using resident::Operation;
using resident::ProgramView;
using resident::Region;

constexpr std::int64_t most_lanes = 16;

/// Marked pointers become addresses in a thread's arena.
class Relocate {
 public:
  Relocate(std::byte* arena, std::int64_t lanes) : arena_(arena), lanes_(lanes) {}
  template <class U>
  void matrix(MatrixBatch<U>& m, resident::Access) const {
    move(m.data);
  }
  template <class U>
  void vector(VectorBatch<U>& v, resident::Access) const {
    move(v.data);
  }
  template <class U>
  void numbers(U*& first, std::int64_t, std::int64_t, resident::Access) const {
    move(first);
  }
  template <class U>
  void resting(U*&, std::int64_t) const {}

 private:
  template <class U>
  void move(U*& pointer) const {
    if (!resident::in_arena(pointer)) return;
    const auto offset = static_cast<std::int64_t>(resident::arena_offset(pointer));
    pointer = reinterpret_cast<U*>(arena_ + offset * lanes_);
  }

  std::byte* arena_;
  std::int64_t lanes_;
};

/// Calls f with a null pointer to an unsigned number as wide as a region's elements.
template <class F>
void with_element(const Region& region, const F& f) {
  switch (region.element_bytes) {
    case 1:
      return f(static_cast<std::uint8_t*>(nullptr));
    case 4:
      return f(static_cast<std::uint32_t*>(nullptr));
    default:
      return f(static_cast<std::uint64_t*>(nullptr));
  }
}

/// One thread's arena and the members in its lanes.
template <class T>
class Thread {
 public:
  Thread(const ResidentArgs& args, std::atomic<std::int64_t>& next)
      : args_(args),
        view_(args.program->host),
        loops_(chosen_lane_loops().*LaneLoopsOf<T>::member),
        lanes_(loops_.lanes),
        next_(next),
        memory_(static_cast<std::size_t>(view_.arena_bytes * lanes_) + 64),
        instructions_(args.program->instructions) {
    arena_ = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(memory_.data()) + 63) /
                                          64 * 64);
    const Relocate visitor(arena_, lanes_);
    for (Instruction& instruction : instructions_) {
      resident::with_args(instruction, [&](auto& a) { resident::each_operand(a, visitor); });
    }
    active_ = reinterpret_cast<std::int32_t*>(arena_ + view_.active * lanes_);
    step_ = reinterpret_cast<std::int64_t*>(arena_ + view_.step * lanes_);
  }

  ResidentUsage run() {
    for (;;) {
      for (std::int64_t lane = 0; lane < lanes_; ++lane) {
        if (!taken_[lane]) fill(lane);
      }
      if (live_ == 0) break;
      bool checked = false;
      for (std::int64_t lane = 0; lane < lanes_; ++lane) {
        looked_at_[lane] = taken_[lane] && step_[lane] % view_.check_every == 0;
        checked = checked || looked_at_[lane];
      }
      run(checked ? resident::evaluate_checked : resident::evaluate, taken_);
      if (checked) {
        run(resident::inspect, looked_at_);
        empty(false);
      }
      usage_.member_steps += live_;
      usage_.place_steps += lanes_;
      if (exhausted_) {
        usage_.drain_member_steps += live_;
        usage_.drain_place_steps += lanes_;
      }
      if (live_ == 0) continue;
      run(checked ? resident::move_checked : resident::move, taken_);
      empty(true);
    }
    return usage_;
  }

 private:
  void fill(std::int64_t lane) {
    while (!exhausted_) {
      const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= args_.count) {
        exhausted_ = true;
        return;
      }
      const std::int64_t slot = args_.slots != nullptr ? args_.slots[i] : i;
      if (view_.active_of[slot] == 0 || view_.step_of[slot] >= args_.until) continue;
      copy_in(lane, slot);
      slot_[lane] = slot;
      taken_[lane] = true;
      ++live_;
      return;
    }
  }

  /// Takes members that ended, or rest, out of their lanes.
  void empty(bool moved) {
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      if (!taken_[lane]) continue;
      if (active_[lane] != 0 && !(moved && step_[lane] >= args_.until)) continue;
      copy_out(lane, slot_[lane]);
      taken_[lane] = false;
      --live_;
    }
  }

  /// copy(in the lane, in the slot) for every element of the regions that are to be loaded, or
  /// stored: the lane's are `lanes_` apart.
  template <class Copy>
  void each_element(std::int64_t lane, std::int64_t slot, std::int32_t Region::*which,
                    const Copy& copy) {
    for (std::int32_t r = 0; r < view_.region_count; ++r) {
      const Region& region = view_.regions[r];
      if (region.*which == 0) continue;
      with_element(region, [&]<class Element>(Element*) {
        auto* in_lane = reinterpret_cast<Element*>(arena_ + region.offset * lanes_) + lane;
        auto* in_slot = reinterpret_cast<Element*>(region.data + slot * region.slot_bytes);
        for (std::int64_t i = 0; i < region.count; ++i) copy(in_lane[i * lanes_], in_slot[i]);
      });
    }
  }
  void copy_in(std::int64_t lane, std::int64_t slot) {
    each_element(lane, slot, &Region::load,
                 [](auto& in_lane, const auto& in_slot) { in_lane = in_slot; });
  }
  void copy_out(std::int64_t lane, std::int64_t slot) {
    each_element(lane, slot, &Region::store,
                 [](const auto& in_lane, auto& in_slot) { in_slot = in_lane; });
  }

  /// The launcher of element bodies that see one number a slot.
  struct ForEachLane {
    const bool* wanted;
    std::int64_t lanes;
    template <class Body>
    void operator()(const char*, std::int64_t, std::int64_t count, const Body& body) const {
      if (count != 1) throw std::logic_error("a lane has one number of each");
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        if (wanted[lane]) body(lane, 0);
      }
    }
  };

  void run(resident::Section section, const bool* wanted) {
    const std::int32_t end = view_.begin[section + 1];
    const ForEachLane for_each{wanted, lanes_};
    for (std::int32_t i = view_.begin[section]; i < end; ++i) {
      carry_out(instructions_[static_cast<std::size_t>(i)], for_each);
    }
  }

  void carry_out(const Instruction& instruction, const ForEachLane& for_each) {
    switch (instruction.operation) {
      case Operation::gemm:
        return loops_.gemm(lane_gemm(instruction.as<GemmArgs<T>>()));
      case Operation::activate:
        return activate(instruction.as<ActivateArgs<T>>());
      case Operation::activation_slope:
        return activation_slope(instruction.as<ActivationSlopeArgs<T>>());
      case Operation::example_terms:
        return example_terms(instruction.as<ExampleTermsArgs<T>>(), for_each);
      case Operation::gather_rows:
        return gather_rows(instruction.as<GatherRowsArgs<T>>(), for_each);
      case Operation::reduce:
        return reduce(instruction.as<ReduceArgs>(), for_each);
      case Operation::residual:
        return residual(instruction.as<ResidualArgs<T>>());
      case Operation::drawn_residual:
        return drawn_residual(instruction.as<DrawnResidualArgs<T>>(), for_each);
      case Operation::sampled_product:
        return sampled_product(instruction.as<resident::SampledProductArgs<T>>());
      case Operation::sparse_product:
        return sparse_product(instruction.as<resident::SparseProductArgs<T>>());
      case Operation::sparse_top_layer:
        return sparse_top_layer(instruction.as<resident::SparseTopLayerArgs<T>>());
      case Operation::drawn_descent:
        return drawn_descent(instruction.as<resident::DrawnDescentArgs<T>>(), for_each);
      case Operation::sum_of_squares: {
        const auto& args = instruction.as<SumOfSquaresArgs<T>>();
        const bool shared = args.x.slot_stride == 0;
        return loops_.inner_product(args.x.data, shared, args.x.data, shared, args.x.count,
                                    args.out);
      }
      case Operation::inner_product: {
        const auto& args = instruction.as<InnerProductArgs<T>>();
        return loops_.inner_product(args.x.data, args.x.slot_stride == 0, args.y.data,
                                    args.y.slot_stride == 0, args.x.count, args.out);
      }
      case Operation::singular_values:
        return singular_values_in_lanes(instruction.as<SingularValuesArgs<T>>(), for_each.wanted,
                                        lanes_);
      case Operation::spectrum:
        return spectrum(instruction.as<SpectrumArgs>(), for_each);
      case Operation::add_scaled:
        return add_scaled(instruction.as<AddScaledArgs<T>>());
      case Operation::descend:
      case Operation::sign_descend:
        return descend(instruction.as<DescendArgs<T>>(),
                       instruction.operation == Operation::sign_descend);
      case Operation::heavy_ball:
        return heavy_ball(instruction.as<HeavyBallArgs<T>>());
      case Operation::adam:
        return adam(instruction.as<AdamArgs<T>>());
      case Operation::linear_combination:
        return linear_combination(instruction.as<LinearCombinationArgs<T>>());
      case Operation::diffuse:
        return diffuse(instruction.as<DiffuseArgs<T>>(), for_each);
      case Operation::perturb:
        return perturb(instruction.as<PerturbArgs<T>>(), for_each);
      case Operation::check_stop:
        return elements::check_stop(for_each, instruction.as<StepControl>());
      case Operation::constant_step:
        return elements::constant_step(for_each, instruction.as<ConstantStepArgs>());
      case Operation::rms_step:
        return elements::rms_step(for_each, instruction.as<RmsStepArgs>());
      case Operation::adam_step:
        return elements::adam_step(for_each, instruction.as<AdamStepArgs>());
      case Operation::advance:
        return elements::advance(for_each, instruction.as<StepControl>());
      case Operation::draw_terms:
        return draw_terms(instruction.as<DrawTermsArgs>(), for_each);
      case Operation::follow_schedule:
        return follow_schedule(instruction.as<FollowScheduleArgs>(), for_each);
      case Operation::accumulate:
        return elements::accumulate(for_each, instruction.as<AccumulateArgs>());
      case Operation::combine:
        return combine(instruction.as<CombineArgs>(), for_each);
      case Operation::running_extreme:
        return running_extreme(instruction.as<ExtremeArgs>(), for_each);
      case Operation::first_crossing:
        return first_crossing(instruction.as<CrossingArgs>(), for_each);
      case Operation::teacher_gradient:
        return teacher_gradient(instruction.as<TeacherGradientArgs<T>>());
      case Operation::teacher_distance:
        return teacher_distance(instruction.as<TeacherDistanceArgs<T>>(), for_each);
      case Operation::teacher_check:
        return teacher_check(instruction.as<TeacherCheckArgs<T>>(), for_each);
      default:
        throw std::logic_error(std::string("no lanes for ") +
                               resident::name_of(instruction.operation));
    }
  }

  static LaneGemm<T> lane_gemm(const GemmArgs<T>& args) {
    const bool ta = args.transpose_a == Transpose::yes;
    const bool tb = args.transpose_b == Transpose::yes;
    return {args.c.rows,
            args.c.cols,
            ta ? args.a.rows : args.a.cols,  //
            args.alpha,
            args.beta,  //
            args.a.data,
            ta ? 1 : args.a.row_stride,
            ta ? args.a.row_stride : 1,
            args.a.slot_stride == 0,  //
            args.b.data,
            tb ? 1 : args.b.row_stride,
            tb ? args.b.row_stride : 1,
            args.b.slot_stride == 0,  //
            args.c.data,
            args.c.row_stride,
            loop_finish(args.finish),
            args.below,
            args.by,
            args.state.data,
            args.state.row_stride};
  }

  /// One piece for all lanes: activations go through arrays element by element, whoever's they are.
  void activate(const ActivateArgs<T>& args) {
    if (args.z.slot_stride != 0) {
      return activate_piece(args, args.y.data, args.z.data, args.y.count * lanes_);
    }
    // Of what all members share, once, and then for everyone.
    activate_piece(args, args.y.data, args.z.data, args.y.count);
    for (std::int64_t i = args.y.count - 1; i >= 0; --i) {
      std::fill_n(args.y.data + i * lanes_, lanes_, T{args.y.data[i]});
    }
  }
  void activation_slope(const ActivationSlopeArgs<T>& args) {
    if (args.state.slot_stride == 0) throw std::logic_error("an activation's state for all lanes");
    activation_slope_piece(args, args.dz.data, args.state.data, args.dy.data,
                           args.dz.count * lanes_);
  }

  void example_terms(const ExampleTermsArgs<T>& args, const ForEachLane& for_each) {
    const bool of_lanes = args.labels.data == nullptr || args.labels.slot_stride != 0;
    if (args.term == ExampleTerm::loss && args.loss == Loss::squared && args.noise == nullptr &&
        args.rows == nullptr) {
      const bool shared = args.targets.slot_stride == 0;
      const std::int64_t first = args.first * args.targets.row_stride;
      return loops_.squared({args.f.rows, args.f.cols, args.f.data, args.f.row_stride, args.scale,
                             args.weight, args.targets.data + first * (shared ? 1 : lanes_),
                             args.targets.row_stride, shared, args.out, args.slope.data,
                             args.slope.row_stride});
    }
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      for (std::int64_t r = 0; r < args.f.rows; ++r) {
        elements::ExampleRow<T> row{};
        row.f = args.f.data + r * args.f.row_stride * lanes_ + lane;
        row.step = lanes_;
        row.scale = args.scale;
        row.outputs = args.f.cols;
        row.example = args.rows != nullptr ? args.rows[r * lanes_ + lane] : args.first + r;
        if (args.targets.data != nullptr) {
          const bool shared = args.targets.slot_stride == 0;
          const std::int64_t at = row.example * args.targets.row_stride;
          row.target_data = args.targets.data + (shared ? at : at * lanes_ + lane);
          row.target_step = shared ? 1 : lanes_;
        }
        row.label = -1;
        if (args.labels.data != nullptr) {
          row.label = args.labels.data[of_lanes ? row.example * lanes_ + lane : row.example];
        }
        if (args.slope.data != nullptr) {
          row.slope_data = args.slope.data + r * args.slope.row_stride * lanes_ + lane;
        }
        const double term = elements::example_term_of(args, row, lane);
        if (args.out != nullptr) args.out[r * lanes_ + lane] = term;
      }
    });
  }

  void gather_rows(const GatherRowsArgs<T>& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      for (std::int64_t r = 0; r < args.out.rows; ++r) {
        const std::int64_t example = args.rows[r * lanes_ + lane];
        for (std::int64_t c = 0; c < args.out.cols; ++c) {
          const std::int64_t e = example * args.x.row_stride + c;
          args.out.data[(r * args.out.row_stride + c) * lanes_ + lane] =
              args.x.slot_stride == 0 ? args.x.data[e] : args.x.data[e * lanes_ + lane];
        }
      }
    });
  }

  void reduce(const ReduceArgs& args, const ForEachLane& for_each) {
    if (args.x_stride == 0 || args.y_stride == 0) throw std::logic_error("numbers for all lanes");
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      args.out[lane] = elements::reduced(args, args.x + lane,
                                         args.y != nullptr ? args.y + lane : nullptr, lanes_);
    });
  }

  void spectrum(const SpectrumArgs& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      args.out[lane] =
          args.scale * elements::spectrum_value({args.values + lane, lanes_}, args.count,
                                                args.function, args.parameter);
    });
  }

  static LanePattern lane_pattern(const resident::Pattern& p) {
    return {p.lines, p.begin, p.entry, p.other};
  }
  void sampled_product(const resident::SampledProductArgs<T>& args) {
    loops_.sampled({lane_pattern(args.pattern), args.k, args.a.data, args.a_row, args.a_col,  //
                    args.b.data, args.b_row, args.b_col, args.target.data, args.target_entry,
                    args.target.slot_stride == 0, args.residual.data, args.half_square});
    halve(args.half_square);
  }
  void sparse_product(const resident::SparseProductArgs<T>& args) {
    loops_.sparse({lane_pattern(args.pattern), args.count, args.alpha, args.beta, args.s.data,
                   args.x.data, args.x_line, args.x_step, args.c.data, args.c_line, args.c_step});
  }
  void sparse_top_layer(const resident::SparseTopLayerArgs<T>& args) {
    T scale[most_lanes];
    T step[most_lanes];
    round(args.learning_rate, step);
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      const double coefficient = args.coefficient != nullptr ? args.coefficient[lane] : 1.0;
      scale[lane] = static_cast<T>(args.scale * coefficient);
    }
    loops_.sparse_top_layer({lane_pattern(args.rows), lane_pattern(args.cols), args.w.cols,
                             args.w.data, args.w.row_stride, args.p.data, args.p.row_stride,
                             args.moves_p, args.target.data, args.target_entry,
                             args.target.slot_stride == 0, args.s.data, args.slope.data,
                             args.slope.row_stride, args.scaled ? scale : nullptr, step});
  }
  void halve(double* sums) const {
    for (std::int64_t lane = 0; sums != nullptr && lane < lanes_; ++lane) sums[lane] *= 0.5;
  }

  void residual(const ResidualArgs<T>& args) {
    T* const out = args.residual.data;
    if (args.mask.data == nullptr && !args.observed) {  // nothing counts
      for (std::int64_t i = 0; out != nullptr && i < args.residual.rows; ++i) {
        std::fill_n(out + i * args.residual.row_stride * lanes_, args.residual.cols * lanes_, T{0});
      }
      if (args.half_square != nullptr) std::fill_n(args.half_square, lanes_, 0.0);
      return;
    }
    loops_.residual({args.w.rows, args.w.cols, args.w.data, args.w.row_stride,                //
                     args.target.data, args.target.row_stride, args.target.slot_stride == 0,  //
                     args.mask.data, args.mask.row_stride, args.mask.slot_stride == 0,        //
                     args.observed, out, args.residual.row_stride, args.half_square});
    halve(args.half_square);
  }

  /// Element (row, col) of a matrix in a lane, or of a shared one.
  template <class U>
  U& entry(const MatrixBatch<U>& m, std::int64_t index, std::int64_t cols, std::int64_t lane) {
    const std::int64_t e = index / cols * m.row_stride + index % cols;
    return m.slot_stride == 0 ? m.data[e] : m.data[e * lanes_ + lane];
  }

  void drawn_residual(const DrawnResidualArgs<T>& args, const ForEachLane& for_each) {
    const MatrixBatch<T>& out = args.residual;
    for (std::int64_t i = 0; i < out.rows; ++i) {
      std::fill_n(out.data + i * out.row_stride * lanes_, out.cols * lanes_, T{0});
    }
    const std::int64_t cols = args.w.cols;
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      const T weight = elements::term_weight<T>(args, lane);
      const std::int64_t terms = args.drawn != nullptr ? args.batch : args.count[lane];
      for (std::int64_t b = 0; b < terms; ++b) {
        const std::int64_t j = args.drawn != nullptr ? args.drawn[b * lanes_ + lane] : b;
        const std::int64_t index = elements::entry_of(args, slot_[lane], j);
        T difference = entry(args.w, index, cols, lane) - entry(args.target, index, cols, lane);
        if (args.noise != nullptr) difference -= elements::label_noise_of<T>(args, lane, j);
        T& sum = entry(out, index, cols, lane);
        sum = fused(weight, difference, sum);
      }
    });
  }

  void drawn_descent(const resident::DrawnDescentArgs<T>& args, const ForEachLane& for_each) {
    std::int32_t row[most_lanes] = {};
    std::int32_t col[most_lanes] = {};
    T label[most_lanes] = {};
    T noise[most_lanes] = {};
    T weight[most_lanes] = {};
    T decay[most_lanes] = {};
    T step[most_lanes] = {};
    const std::int64_t cols = args.target.cols;
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      const std::int64_t j = args.drawn[lane];
      const std::int64_t index = elements::entry_of(args, slot_[lane], j);
      row[lane] = static_cast<std::int32_t>(index / cols);
      col[lane] = static_cast<std::int32_t>(index % cols);
      label[lane] = entry(args.target, index, cols, lane);
      if (args.noise != nullptr) noise[lane] = elements::label_noise_of<T>(args, lane, j);
      weight[lane] = elements::term_weight<T>(args, lane);
      const double coefficient = args.decay != nullptr ? args.decay[lane] : 1.0;
      decay[lane] = static_cast<T>(args.decay_scale * coefficient);
    });
    round(args.step_size, step);
    loops_.drawn_descent({args.layers, args.sizes, args.params.data, args.scratch.data,
                          args.back_offset(), args.widest(), row, col, label,
                          args.noise != nullptr ? noise : nullptr, weight,
                          args.decays ? decay : nullptr, step});
  }

  void add_scaled(const AddScaledArgs<T>& args) {
    T c[most_lanes];
    for (std::int64_t lane = 0; lane < lanes_; ++lane) c[lane] = elements::scale_of(args, lane);
    loops_.add_scaled(args.x.data, args.x.slot_stride == 0, c, args.add, args.y.data, args.y.count);
  }

  /// A number of each lane, rounded to T.
  void round(const double* numbers, T* rounded) const {
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      rounded[lane] = numbers != nullptr ? static_cast<T>(numbers[lane]) : T(1);
    }
  }

  void descend(const DescendArgs<T>& args, bool sign) {
    if (args.grad.slot_stride == 0) throw std::logic_error("a gradient for all lanes");
    T step[most_lanes];
    round(args.control.step_size, step);
    LaneUpdate<T> update{};
    update.count = args.params.count;
    update.params = args.params.data;
    update.grad = args.grad.data;
    update.step = step;
    sign ? loops_.sign_descend(update) : loops_.descend(update);
  }

  void heavy_ball(const HeavyBallArgs<T>& args) {
    T step[most_lanes];
    T momentum[most_lanes];
    round(args.control.step_size, step);
    round(args.momentum, momentum);
    LaneUpdate<T> update{};
    update.count = args.params.count;
    update.params = args.params.data;
    update.grad = args.grad.data;
    update.first = args.velocity.data;
    update.step = step;
    update.kept1 = momentum;
    update.nesterov = args.nesterov;
    loops_.heavy_ball(update);
  }

  void adam(const AdamArgs<T>& args) {
    T numbers[7][most_lanes];
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      const AdamNumbers<T> n = elements::adam_numbers(args, lane);
      const T all[] = {n.kept1, n.added1, n.kept2, n.added2, n.epsilon, n.step, n.root_scale};
      for (std::size_t i = 0; i < 7; ++i) numbers[i][lane] = all[i];
    }
    loops_.adam({args.params.count, args.params.data, args.grad.data, args.m.data, args.v.data,
                 numbers[5], numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[6],
                 false});
  }

  void linear_combination(const LinearCombinationArgs<T>& args) {
    T a[most_lanes];
    T b[most_lanes];
    round(args.a, a);
    round(args.b, b);
    loops_.linear_combination(args.x.data, args.y.data, a, b, args.x.count);
  }

  void diffuse(const DiffuseArgs<T>& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      const double scale = elements::diffusion_scale(args, lane);
      for (std::int64_t i = 0; i < args.params.count; ++i) {
        args.params.data[i * lanes_ + lane] += elements::diffusion(args, lane, i, scale);
      }
    });
  }

  void perturb(const PerturbArgs<T>& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      perturb_slot(args, lane, args.params.data + lane, lanes_);
    });
  }

  void draw_terms(const DrawTermsArgs& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      for (std::int64_t b = 0; b < args.batch; ++b) {
        args.out[b * lanes_ + lane] = elements::drawn_term(args, lane, b);
      }
    });
  }

  void follow_schedule(const FollowScheduleArgs& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      const std::int64_t slot = slot_[lane];
      const std::int64_t first = slot * args.capacity;
      args.values[lane] = schedule_value(args.schedules[slot], args.starts + first,
                                         args.pieces + first, args.step[lane]);
    });
  }

  // Rows of numbers: number i of each lane, one after another.
  template <class U>
  void to_row(U*& numbers, std::int64_t& stride, std::int64_t i) const {
    if (numbers == nullptr) return;
    numbers += stride == 0 ? i : i * lanes_;
    if (stride != 0) stride = 1;
  }
  void combine(const CombineArgs& args, const ForEachLane& for_each) {
    for (std::int64_t i = 0; i < args.count; ++i) {
      CombineArgs row = args;
      row.count = 1;
      to_row(row.numerator, row.numerator_stride, i);
      to_row(row.denominator, row.denominator_stride, i);
      to_row(row.minus, row.minus_stride, i);
      to_row(row.out, row.out_stride, i);
      elements::combine(for_each, row);
    }
  }
  void running_extreme(const ExtremeArgs& args, const ForEachLane& for_each) {
    for (std::int64_t i = 0; i < args.count; ++i) {
      ExtremeArgs row = args;
      row.count = 1;
      to_row(row.values, row.values_stride, i);
      to_row(row.extremes, row.extremes_stride, i);
      elements::running_extreme(for_each, row);
    }
  }
  void first_crossing(const CrossingArgs& args, const ForEachLane& for_each) {
    for (std::int64_t i = 0; i < args.count; ++i) {
      CrossingArgs row = args;
      row.count = 1;
      to_row(row.values, row.values_stride, i);
      to_row(row.first, row.first_stride, i);
      elements::first_crossing(for_each, row);
    }
  }

  void teacher_gradient(const TeacherGradientArgs<T>& args) {
    const Students<T>& student = args.student;
    const Teachers<T>& teacher = args.teacher;
    loops_.teacher_gradient({student.v.count, student.a.count, student.v.data, student.a.data,
                             teacher.w.data, teacher.w.slot_stride == 0, teacher.a.data,
                             teacher.a.slot_stride == 0, teacher.sum, args.grad_v.data,
                             args.grad_a.data, args.loss});
  }
  /// The place of a lane, its elements `lanes` apart.
  elements::TeacherPlace<T> place_of(const Students<T>& student, const Teachers<T>& teacher,
                                     std::int64_t lane) const {
    const auto at = [&](const auto& vector) {
      return vector.slot_stride == 0 ? vector.data : vector.data + lane;
    };
    const auto step = [&](const auto& vector) { return vector.slot_stride == 0 ? 1 : lanes_; };
    return {student.v.data + lane, student.a.data + lane, lanes_,         at(teacher.w),
            step(teacher.w),       at(teacher.a),         step(teacher.a)};
  }
  void teacher_distance(const TeacherDistanceArgs<T>& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      args.out[lane] =
          elements::teacher_distance_of(args, place_of(args.student, args.teacher, lane), lane);
    });
  }
  void teacher_check(const TeacherCheckArgs<T>& args, const ForEachLane& for_each) {
    for_each("", lanes_, 1, [&](std::int64_t lane, std::int64_t) {
      elements::teacher_check_of(args, place_of(args.student, args.teacher, lane), lane);
    });
  }

  const ResidentArgs& args_;
  const ProgramView& view_;
  const TypedLaneLoops<T>& loops_;
  std::int64_t lanes_;
  std::atomic<std::int64_t>& next_;
  std::vector<std::byte> memory_;  ///< zero at first: lanes without a member compute on it
  std::vector<Instruction> instructions_;
  std::byte* arena_ = nullptr;
  std::int32_t* active_ = nullptr;
  std::int64_t* step_ = nullptr;

  std::int64_t live_ = 0;
  bool exhausted_ = false;
  bool taken_[most_lanes] = {};
  bool looked_at_[most_lanes] = {};
  std::int64_t slot_[most_lanes] = {};
  ResidentUsage usage_{};
};

}  // namespace

void advance_resident(Executor& executor, const ResidentArgs& args) {
  std::atomic<std::int64_t> next{0};
  const auto threads = static_cast<std::size_t>(cpu(executor).threads());
  std::vector<ResidentUsage> used(threads);
  const bool wide = args.program->host.element_bytes != sizeof(float);
  cpu(executor).for_slots(static_cast<std::int64_t>(threads), [&](SlotRange range) {
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      used[static_cast<std::size_t>(i)] =
          wide ? Thread<double>(args, next).run() : Thread<float>(args, next).run();
    }
  });
  for (const ResidentUsage& one : used) {
    args.usage->member_steps += one.member_steps;
    args.usage->place_steps += one.place_steps;
    args.usage->drain_member_steps += one.drain_member_steps;
    args.usage->drain_place_steps += one.drain_place_steps;
  }
}

}  // namespace manyfold::kernels::cpu
