// What of an operation's arguments is per slot: the description of its resident form
// (resident/operands.hpp), and descriptions for operations that have none but are called in looks.
// With it a call for all slots becomes one for a window of them.
#pragma once

#include <cstdint>
#include <stdexcept>

#include "kernels/resident/operands.hpp"
#include "kernels/table.hpp"
#include "kernels/work_slots.hpp"

namespace manyfold::kernels {

template <class Args, class Visitor>
requires resident::has_resident_form<Args>
void each_slot_operand(Args& args, Visitor&& visit) { resident::each_operand(args, visit); }

template <class T, class Visitor>
void each_slot_operand(SingularValuesArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.matrix(args.a, Access::read);
  visit.numbers(args.values, args.values_count, args.values_stride, Access::write);
  visit.numbers(args.sweeps, 1, 1, Access::write);
  const bool vectors = args.u.data != nullptr || args.v.data != nullptr;
  const std::int64_t workspace = singular_values_workspace(args.a.rows, args.a.cols, vectors);
  visit.numbers(args.workspace, workspace, workspace, Access::write);
  visit.numbers(args.left, args.a.rows, args.left_stride, Access::write);
  visit.matrix(args.u, Access::write);
  visit.matrix(args.v, Access::write);
}

template <class T, class Visitor>
void each_slot_operand(SymmetricEigenvaluesArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.matrix(args.a, Access::read);
  visit.numbers(args.values, eigenvalues_kept(args.which, args.a.rows, args.count),
                args.values_stride, Access::write);
  visit.numbers(args.status, 1, 1, Access::write);
  visit.numbers(args.bounds, 1, 1, Access::write);
  visit.numbers(args.least_vector, args.a.rows, args.least_vector_stride, Access::write);
}

template <class T, class Visitor>
void each_slot_operand(NeuronTermsArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.matrix(args.a, Access::read);
  visit.matrix(args.b, Access::read);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class T, class Visitor>
void each_slot_operand(ReferenceDistancesArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.vector(args.x, Access::read);
  visit.matrix(args.references, Access::read);
  visit.numbers(args.out, args.references.rows, args.out_stride, Access::write);
}

template <class Visitor>
void each_slot_operand(ReferenceAlignmentsArgs& args, Visitor&& visit) {
  using resident::Access;
  visit.vector(args.x, Access::read);
  visit.matrix(args.references, Access::read);
  visit.numbers(args.out, args.references.rows, args.out_stride, Access::write);
}

template <class T, class Visitor>
void each_slot_operand(WidenArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.vector(args.x, Access::read);
  visit.numbers(args.out, args.x.count, args.out_stride, Access::write);
}

template <class Visitor>
void each_slot_operand(SpectrumArgs& args, Visitor&& visit) {
  using resident::Access;
  visit.numbers(args.values, args.count, args.values_stride, Access::read);
  visit.numbers(args.out, 1, args.out_stride, Access::write);
}

template <class T, class Visitor>
void each_slot_operand(RandomFillArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.vector(args.out, Access::write);
  visit.numbers(args.seeds, 1, 1, Access::read);
  visit.numbers(args.scales, 1, 1, Access::read);
}

template <class T, class Visitor>
void each_slot_operand(InnerProductsArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.matrix(args.x, Access::read);
  visit.vector(args.y, Access::read);
  visit.numbers(args.out, args.x.rows, args.out_stride, Access::write);
}

template <class T, class Visitor>
void each_slot_operand(SubtractRowsArgs<T>& args, Visitor&& visit) {
  using resident::Access;
  visit.matrix(args.x, Access::read);
  visit.numbers(args.c, args.x.rows, args.c_stride, Access::read);
  visit.vector(args.y, Access::update);
}

template <class Visitor>
void each_slot_operand(LanczosStepArgs& args, Visitor&& visit) {
  using resident::Access;
  visit.numbers(args.projections, 2 * args.steps, 2 * args.steps, Access::read);
  visit.numbers(args.norm2, 1, 1, Access::read);
  visit.numbers(args.alpha, args.steps, args.steps, Access::update);
  visit.numbers(args.beta, args.steps, args.steps, Access::update);
  visit.numbers(args.length, 1, 1, Access::update);
  visit.numbers(args.ended, 1, 1, Access::update);
  visit.numbers(args.scale, 1, 1, Access::write);
}

template <class Visitor>
void each_slot_operand(RitzEndsArgs& args, Visitor&& visit) {
  using resident::Access;
  visit.numbers(args.alpha, args.steps, args.steps, Access::read);
  visit.numbers(args.beta, args.steps, args.steps, Access::read);
  visit.numbers(args.length, 1, 1, Access::read);
  visit.numbers(args.finite, 1, 1, Access::read);
  visit.numbers(args.scratch, 3 * args.steps, 3 * args.steps, Access::write);
  visit.numbers(args.out, 4, args.out_stride, Access::write);
}

/// Moves operands to the first slot of the open window.
class ToWindow {
 public:
  explicit ToWindow(const WorkSlots& work) : work_(work) {}
  template <class U>
  void matrix(MatrixBatch<U>& m, resident::Access) const {
    move(m.data, m.slot_stride);
    m.slots = work_.count();
  }
  template <class U>
  void vector(VectorBatch<U>& v, resident::Access) const {
    move(v.data, v.slot_stride);
    v.slots = work_.count();
  }
  template <class U>
  void numbers(U*& first, std::int64_t, std::int64_t stride, resident::Access) const {
    move(first, stride);
  }
  template <class U>
  void resting(U*& first, std::int64_t stride) const {
    move(first, stride);
  }

 private:
  template <class U>
  void move(U*& first, std::int64_t stride) const {
    if (first != nullptr && !work_.holds(first)) first += work_.first() * stride;
  }
  const WorkSlots& work_;
};

/// The arguments of a call for all slots as those of a call for the window that is open.
template <class Args>
Args in_window(Args args, const WorkSlots& work) {
  const ToWindow visitor(work);
  if constexpr (requires { each_slot_operand(args, visitor); }) {
    each_slot_operand(args, visitor);
    if constexpr (requires { args.slots; }) args.slots = work.count();
    if constexpr (requires { args.control.slots; }) args.control.slots = work.count();
    return args;
  } else {
    throw std::logic_error("an operation without a window is called in one");
  }
}

}  // namespace manyfold::kernels
