// Resident stepping on a GPU. As many blocks as the chip holds at once take members from the list,
// one after another, by an atomic counter: a block that is done with its member takes the next
// without a word to the host or to other blocks. A member's arena is the block's shared memory;
// beside it lie the program's instructions with their operands where this block has them.
// Operations on elements are the bodies of the batched path, run by the block's threads.
#include <algorithm>
#include <cstdint>

#include "core/portable.hpp"
#include "kernels/cuda/for_each.cuh"
#include "kernels/cuda/jacobi.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/operations.cuh"
#include "kernels/cuda/perturb.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/elements/activation.hpp"
#include "kernels/elements/combine.hpp"
#include "kernels/elements/drawn_residual.hpp"
#include "kernels/elements/draws.hpp"
#include "kernels/elements/examples.hpp"
#include "kernels/elements/reduce.hpp"
#include "kernels/elements/scaling.hpp"
#include "kernels/elements/schedule.hpp"
#include "kernels/elements/spectrum.hpp"
#include "kernels/elements/stepping.hpp"
#include "kernels/elements/teacher.hpp"
#include "kernels/elements/updates.hpp"
#include "kernels/elements/watch.hpp"
#include "kernels/resident/capture.hpp"

namespace manyfold::kernels::cuda {
namespace {

using resident::Instruction;
using resident::Operation;
using resident::ProgramView;
using resident::Region;

/// The same for every program, so that sums never depend on anything but their length.
constexpr int threads = 128;
static_assert(threads == perturb_threads);
constexpr int warps = threads / 32;

/// Marked pointers become addresses in the block's arena; what rests becomes this slot's.
class Relocate {
 public:
  MF_FN Relocate(unsigned char* arena, std::int64_t slot) : arena_(arena), slot_(slot) {}
  template <class U>
  MF_FN void matrix(MatrixBatch<U>& m, resident::Access) const {
    move(m.data);
  }
  template <class U>
  MF_FN void vector(VectorBatch<U>& v, resident::Access) const {
    move(v.data);
  }
  template <class U>
  MF_FN void numbers(U*& first, std::int64_t, std::int64_t, resident::Access) const {
    move(first);
  }
  template <class U>
  MF_FN void resting(U*& first, std::int64_t stride) const {
    if (first != nullptr) first += slot_ * stride;
  }

 private:
  template <class U>
  MF_FN void move(U*& pointer) const {
    if (resident::in_arena(pointer)) {
      pointer = reinterpret_cast<U*>(arena_ + resident::arena_offset(pointer));
    }
  }

  unsigned char* arena_;
  std::int64_t slot_;
};

struct RelocateArgs {
  Relocate visitor;
  template <class Args>
  MF_FN void operator()(Args& args) const {
    resident::each_operand(args, visitor);
  }
};

/// The launcher of element bodies: the block's threads over the elements of its member, slot 0.
struct ForEachInBlock {
  template <class Body>
  MF_KERNEL void operator()(const char*, std::int64_t, std::int64_t count, const Body& body) const {
    for (std::int64_t i = threadIdx.x; i < count; i += threads) body(0, i);
  }
};

template <class Element>
MF_KERNEL void copy_elements(unsigned char* to, const unsigned char* from, std::int32_t count) {
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < count; i += threads) {
    reinterpret_cast<Element*>(to)[i] = reinterpret_cast<const Element*>(from)[i];
  }
}
MF_KERNEL void copy_region(unsigned char* to, const unsigned char* from, const Region& region) {
  if (region.element_bytes == 8) {
    copy_elements<std::uint64_t>(to, from, region.count);
  } else if (region.element_bytes == 4) {
    copy_elements<std::uint32_t>(to, from, region.count);
  } else {
    copy_elements<std::uint8_t>(to, from, region.count);
  }
}

/// A product's operands with their transposes as strides.
template <class T>
struct Product {
  int m, n, k;
  const T* a;
  int a_row, a_col;
  const T* b;
  int b_row, b_col;
  T alpha, beta;
  T* c;
  int c_row;
  const GemmArgs<T>* whole;  ///< for how it finishes

  explicit MF_KERNEL Product(const GemmArgs<T>& args)
      : m(static_cast<int>(args.c.rows)),
        n(static_cast<int>(args.c.cols)),
        a(args.a.data),
        b(args.b.data),
        alpha(args.alpha),
        beta(args.beta),
        c(args.c.data),
        c_row(static_cast<int>(args.c.row_stride)),
        whole(&args) {
    const bool ta = args.transpose_a == Transpose::yes;
    const bool tb = args.transpose_b == Transpose::yes;
    k = static_cast<int>(ta ? args.a.rows : args.a.cols);
    a_row = ta ? 1 : static_cast<int>(args.a.row_stride);
    a_col = ta ? static_cast<int>(args.a.row_stride) : 1;
    b_row = tb ? 1 : static_cast<int>(args.b.row_stride);
    b_col = tb ? static_cast<int>(args.b.row_stride) : 1;
  }
  MF_KERNEL void finish(int row, int col, T sum) const {
    if (row >= m || col >= n) return;
    T& place = c[row * c_row + col];
    const T scaled = alpha * sum;
    const T x = beta == T(0) ? scaled : fused(beta, place, scaled);
    if (whole->finish == Finish::none) {
      place = x;
    } else if (whole->finish == Finish::rectify) {
      place = rectified(whole->by * x, whole->below);
    } else {
      const T state = whole->state.data[row * n + col];
      place = whole->by * (rectified_slope(state, whole->below) * x);
    }
  }
};

/// Each warp takes tiles of 8 rows and 16 columns.
MF_KERNEL void multiply(const Product<double>& p) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int tiles_across = (p.n + 15) / 16;
  const int tiles = (p.m + 7) / 8 * tiles_across;
  for (int tile = warp; tile < tiles; tile += warps) {
    const int row = tile / tiles_across * 8 + lane / 4;
    const int col = tile % tiles_across * 16;
    const bool right = col + 8 < p.n;  // the same for the whole warp
    double sum[2][2] = {};
    for (int at = 0; at < p.k; at += 4) {
      const int term = at + lane % 4;
      const bool inside = term < p.k;
      const int b_col = col + lane / 4;
      const double a = inside && row < p.m ? p.a[row * p.a_row + term * p.a_col] : 0;
      const double b = inside && b_col < p.n ? p.b[term * p.b_row + b_col * p.b_col] : 0;
      mma_8x8x4(sum[0], a, b);
      if (!right) continue;
      const double next =
          inside && b_col + 8 < p.n ? p.b[term * p.b_row + (b_col + 8) * p.b_col] : 0;
      mma_8x8x4(sum[1], a, next);
    }
    for (int half = 0; half < 2; ++half) {
      for (int j = 0; j < 2; ++j) {
        p.finish(row, col + 8 * half + lane % 4 * 2 + j, sum[half][j]);
      }
    }
  }
}

/// Each thread takes tiles of 2 rows and 4 columns.
MF_KERNEL void multiply(const Product<float>& p) {
  const int tiles_across = (p.n + 3) / 4;
  const int tiles = (p.m + 1) / 2 * tiles_across;
  for (int tile = static_cast<int>(threadIdx.x); tile < tiles; tile += threads) {
    const int row = tile / tiles_across * 2;
    const int col = tile % tiles_across * 4;
    const int rows = min(2, p.m - row);
    const int cols = min(4, p.n - col);
    float sum[2][4] = {};
    for (int term = 0; term < p.k; ++term) {
      float b[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        b[j] = p.b[term * p.b_row + (col + (j < cols ? j : 0)) * p.b_col];
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float a = p.a[(row + (i < rows ? i : 0)) * p.a_row + term * p.a_col];
#pragma unroll
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(a, b[j], sum[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (i < rows && j < cols) p.finish(row + i, col + j, sum[i][j]);
      }
    }
  }
}

template <class T>
MF_KERNEL void residual_in_block(const ResidualArgs<T>& args) {
  const int cols = static_cast<int>(args.w.cols);
  const int count = static_cast<int>(args.w.size());
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) {
    const int row = i / cols;
    const int col = i % cols;
    const bool seen =
        args.mask.data == nullptr || args.mask.data[row * args.mask.row_stride + col] != 0;
    T difference = 0;
    if (seen == args.observed) {
      difference = args.w.data[row * args.w.row_stride + col] -
                   args.target.data[row * args.target.row_stride + col];
    }
    if (args.residual.data != nullptr) {
      args.residual.data[row * args.residual.row_stride + col] = difference;
    }
    const double wide = difference;
    sum = fma(wide, wide, sum);
  }
  if (args.half_square == nullptr) return;
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) *args.half_square = 0.5 * sum;
}

template <class T>
MF_KERNEL void drawn_residual_in_block(const DrawnResidualArgs<T>& args) {
  const int cols = static_cast<int>(args.residual.cols);
  const int count = static_cast<int>(args.residual.size());
  for (int i = static_cast<int>(threadIdx.x); i < count; i += threads) {
    args.residual.data[i / cols * args.residual.row_stride + i % cols] = T(0);
  }
  __syncthreads();
  const T weight = elements::term_weight<T>(args, 0);
  if (args.drawn == nullptr) {  // every term once, so no two threads add to one entry
    for (std::int64_t j = threadIdx.x; j < args.count[0]; j += threads) {
      elements::add_term(args, 0, weight, j,
                         args.entries == nullptr ? j : std::int64_t{args.entries[j]});
    }
  } else if (threadIdx.x == 0) {
    for (std::int64_t b = 0; b < args.batch; ++b) {
      const std::int64_t j = args.drawn[b];
      elements::add_term(args, 0, weight, j,
                         args.entries == nullptr ? j : std::int64_t{args.entries[j]});
    }
  }
}

template <class T>
MF_KERNEL void inner_product_in_block(const T* x, const T* y, std::int64_t count, double* out) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += threads) {
    sum = fma(static_cast<double>(x[i]), static_cast<double>(y[i]), sum);
  }
  sum = block_sum<threads>(sum);
  if (threadIdx.x == 0) *out = sum;
}

template <class T>
MF_KERNEL void singular_values_in_block(const ForEachInBlock&, const SingularValuesArgs<T>& args) {
  const std::int64_t size = args.a.rows * args.a.cols;
  const std::int64_t n = args.a.rows < args.a.cols ? args.a.rows : args.a.cols;
  const bool vectors = args.u.data != nullptr || args.v.data != nullptr;
  double* const right = args.workspace + size;
  rotate_slot<8>(
      args, 0,
      JacobiMemory(vectors ? right + n * n : right, args.workspace, vectors ? right : nullptr, n));
}

/// Rows by warps forward, columns by threads back.
template <class T>
MF_KERNEL void drawn_descent_in_block(const resident::DrawnDescentArgs<T>& args) {
  const int self = static_cast<int>(threadIdx.x);
  const int lane = self % 32;
  const int warp = self / 32;
  const int last = args.layers - 1;
  const int columns = args.sizes[0];
  const std::int64_t term = args.drawn[0];
  const auto index =
      static_cast<int>(args.entries == nullptr ? term : std::int64_t{args.entries[term]});
  const int row = index / columns;
  const int col = index % columns;
  const T minus_step = -static_cast<T>(*args.step_size);
  const double coefficient = args.decay != nullptr ? *args.decay : 1.0;
  const T keep =
      args.decays ? fused(minus_step, static_cast<T>(args.decay_scale * coefficient), T(1)) : T(1);
  // W -> keep W - step b x; `by` is -step b.
  const auto move = [&](T& w, T by, T x_q) { w = fused(by, x_q, keep * w); };
  const auto dot = [&](const T* w, const T* x, int count) {
    T sum = 0;
    for (int q = lane; q < count; q += 32) sum = fused(w[q], x[q], sum);
    return group_sum<32>(sum);
  };

  T* x = args.scratch.data;
  for (int p = self; p < args.sizes[1]; p += threads) x[p] = args.params.data[p * columns + col];
  __syncthreads();
  T* w = args.params.data + args.sizes[1] * columns;
  for (int h = 1; h < last; ++h) {
    T* const next = x + args.sizes[h];
    for (int r = warp; r < args.sizes[h + 1]; r += warps) {
      const T sum = dot(w + r * args.sizes[h], x, args.sizes[h]);
      if (lane == 0) next[r] = sum;
    }
    __syncthreads();
    w += args.sizes[h + 1] * args.sizes[h];
    x = next;
  }

  const int inner = args.sizes[last];
  T* b = args.scratch.data + args.back_offset();
  T* other = b + args.widest();
  T difference =
      dot(w + row * inner, x, inner) - args.target.data[row * args.target.row_stride + col];
  if (args.noise != nullptr) difference -= elements::label_noise_of<T>(args, 0, term);
  const T s = elements::term_weight<T>(args, 0) * difference;
  __syncthreads();  // all warps have seen the row
  for (int e = self; e < args.sizes[args.layers] * inner; e += threads) {
    const bool drawn = e / inner == row;
    const int p = e % inner;
    if (drawn) b[p] = w[e] * s;
    move(w[e], drawn ? minus_step * s : T(0), x[p]);
  }
  __syncthreads();
  for (int h = last - 1; h >= 1; --h) {
    const int rows = args.sizes[h + 1];
    const int cols = args.sizes[h];
    x -= cols;
    w -= rows * cols;
    for (int q = self; q < cols; q += threads) {
      T sum = 0;
      for (int r = 0; r < rows; ++r) {
        T& place = w[r * cols + q];
        sum = fused(place, b[r], sum);
        move(place, minus_step * b[r], x[q]);
      }
      other[q] = sum;
    }
    __syncthreads();
    T* const used = b;
    b = other;
    other = used;
  }
  for (int e = self; e < args.sizes[1] * columns; e += threads) {
    move(args.params.data[e], e % columns == col ? minus_step : T(0), b[e / columns]);
  }
}

/// Operations of networks, and singular values: RARE(name, carried out by, arguments). They take
/// registers that steps of factorizations have better uses for: those run in a kernel without
/// these.
#define MF_RARE_OPERATIONS(RARE)                                             \
  RARE(activate, elements::activate, ActivateArgs<T>)                        \
  RARE(activation_slope, elements::activation_slope, ActivationSlopeArgs<T>) \
  RARE(example_terms, elements::example_terms, ExampleTermsArgs<T>)          \
  RARE(gather_rows, elements::gather_rows, GatherRowsArgs<T>)                \
  RARE(reduce, elements::reduce, ReduceArgs)                                 \
  RARE(singular_values, singular_values_in_block, SingularValuesArgs<T>)     \
  RARE(spectrum, elements::spectrum, SpectrumArgs)

/// False where it is none of them.
template <class T>
MF_KERNEL bool carry_out_rare(const Instruction& instruction) {
  constexpr ForEachInBlock for_each;
  switch (instruction.operation) {
#define MF_CARRY_OUT(name, call, Args)      \
  case Operation::name:                     \
    call(for_each, instruction.as<Args>()); \
    return true;
    MF_RARE_OPERATIONS(MF_CARRY_OUT)
#undef MF_CARRY_OUT
    default:
      return false;
  }
}
bool is_rare(const Instruction& instruction) {
  switch (instruction.operation) {
#define MF_IS_RARE(name, call, Args) case Operation::name:
    MF_RARE_OPERATIONS(MF_IS_RARE)
#undef MF_IS_RARE
    return true;
    default:
      return false;
  }
}
#undef MF_RARE_OPERATIONS

template <class T, bool rare>
MF_KERNEL void carry_out(const Instruction& instruction) {
  constexpr ForEachInBlock for_each;
  if constexpr (rare) {
    if (carry_out_rare<T>(instruction)) return;
  }
  switch (instruction.operation) {
    case Operation::gemm:
      return multiply(Product<T>(instruction.as<GemmArgs<T>>()));
    case Operation::residual:
      return residual_in_block(instruction.as<ResidualArgs<T>>());
    case Operation::drawn_residual:
      return drawn_residual_in_block(instruction.as<DrawnResidualArgs<T>>());
    case Operation::drawn_descent:
      return drawn_descent_in_block(instruction.as<resident::DrawnDescentArgs<T>>());
    case Operation::sum_of_squares: {
      const auto& args = instruction.as<SumOfSquaresArgs<T>>();
      return inner_product_in_block(args.x.data, args.x.data, args.x.count, args.out);
    }
    case Operation::inner_product: {
      const auto& args = instruction.as<InnerProductArgs<T>>();
      return inner_product_in_block(args.x.data, args.y.data, args.x.count, args.out);
    }
    case Operation::add_scaled:
      return elements::add_scaled(for_each, instruction.as<AddScaledArgs<T>>());
    case Operation::descend:
      return elements::descend(for_each, instruction.as<DescendArgs<T>>());
    case Operation::sign_descend:
      return elements::sign_descend(for_each, instruction.as<DescendArgs<T>>());
    case Operation::heavy_ball:
      return elements::heavy_ball(for_each, instruction.as<HeavyBallArgs<T>>());
    case Operation::adam:
      return elements::adam(for_each, instruction.as<AdamArgs<T>>());
    case Operation::linear_combination:
      return elements::linear_combination(for_each, instruction.as<LinearCombinationArgs<T>>());
    case Operation::diffuse:
      return elements::diffuse(for_each, instruction.as<DiffuseArgs<T>>());
    case Operation::perturb:
      return perturb_slot(instruction.as<PerturbArgs<T>>(), 0);
    case Operation::teacher_gradient:
      return elements::teacher_gradient(for_each, instruction.as<TeacherGradientArgs<T>>());
    case Operation::teacher_distance:
      return elements::teacher_distance(for_each, instruction.as<TeacherDistanceArgs<T>>());
    case Operation::teacher_check:
      return elements::teacher_check(for_each, instruction.as<TeacherCheckArgs<T>>());
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
      return elements::draw_terms(for_each, instruction.as<DrawTermsArgs>());
    case Operation::follow_schedule:
      return elements::follow_schedule(for_each, instruction.as<FollowScheduleArgs>());
    case Operation::accumulate:
      return elements::accumulate(for_each, instruction.as<AccumulateArgs>());
    case Operation::combine:
      return elements::combine(for_each, instruction.as<CombineArgs>());
    case Operation::running_extreme:
      return elements::running_extreme(for_each, instruction.as<ExtremeArgs>());
    case Operation::first_crossing:
      return elements::first_crossing(for_each, instruction.as<CrossingArgs>());
    default:
      break;  // compile() lets no other operation in
  }
}

static_assert(resident::inspect == resident::evaluate_checked + 1 &&
              resident::move_checked == resident::inspect + 1 &&
              resident::move == resident::evaluate + 1);
template <class T, bool rare>
MF_KERNEL void run_section(const Instruction* program, const ProgramView& view, int section) {
  for (std::int32_t i = view.begin[section]; i < view.begin[section + 1]; ++i) {
    carry_out<T, rare>(program[i]);
    __syncthreads();
  }
}

}  // namespace

template <class T, bool rare>
__global__ void __launch_bounds__(threads)
    resident_kernel(ProgramView view, std::int64_t count, const std::int32_t* slots,
                    std::int64_t until, ResidentUsage* usage) {
  __shared__ std::int64_t taken;
  auto* const arena = dynamic_shared<unsigned char>();
  auto* const program = reinterpret_cast<Instruction*>(arena + view.arena_bytes);
  const auto* const active = reinterpret_cast<const std::int32_t*>(arena + view.active);
  const auto* const step = reinterpret_cast<const std::int64_t*>(arena + view.step);
  const std::int32_t instructions = view.begin[resident::sections];
  std::int64_t steps = 0;
  for (;;) {
    if (threadIdx.x == 0) {
      taken = static_cast<std::int64_t>(atomicAdd(&view.launch->next, 1ULL));
    }
    __syncthreads();
    const std::int64_t index = taken;
    __syncthreads();
    if (index >= count) break;
    const std::int64_t slot = slots != nullptr ? slots[index] : index;
    if (view.active_of[slot] == 0 || view.step_of[slot] >= until) continue;

    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < instructions; i += threads) {
      program[i] = view.instructions[i];
      resident::with_args(program[i], RelocateArgs{Relocate(arena, slot)});
    }
    for (std::int32_t r = 0; r < view.region_count; ++r) {
      const Region& region = view.regions[r];
      if (region.load == 0) continue;
      copy_region(arena + region.offset,
                  reinterpret_cast<const unsigned char*>(region.data) + slot * region.slot_bytes,
                  region);
    }
    __syncthreads();

    while (*active != 0 && *step < until) {
      const bool checked = *step % view.check_every == 0;
      // A loop, so that the operations stand in the kernel once and not three times: the compiler
      // would have them in it wherever they are called.
      const int parts = checked ? 3 : 2;
      bool ended = false;
#pragma unroll 1
      for (int part = 0; part < parts && !ended; ++part) {
        const int section = (checked ? resident::evaluate_checked : resident::evaluate) + part;
        run_section<T, rare>(program, view, section);
        ended = section == resident::inspect && *active == 0;  // before the step
      }
      if (ended) break;
      ++steps;
    }

    for (std::int32_t r = 0; r < view.region_count; ++r) {
      const Region& region = view.regions[r];
      if (region.store == 0) continue;
      copy_region(reinterpret_cast<unsigned char*>(region.data) + slot * region.slot_bytes,
                  arena + region.offset, region);
    }
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  atomicAdd(&view.launch->steps, static_cast<unsigned long long>(steps));
  atomicMax(&view.launch->most, static_cast<unsigned long long>(steps));
  __threadfence();
  if (atomicAdd(&view.launch->done, 1ULL) + 1 != gridDim.x) return;
  // The last block to finish adds up and leaves the counters ready for the next launch.
  __threadfence();
  usage->member_steps += static_cast<std::int64_t>(atomicAdd(&view.launch->steps, 0ULL));
  usage->place_steps += static_cast<std::int64_t>(atomicAdd(&view.launch->most, 0ULL) * gridDim.x);
  *view.launch = {};
}

void advance_resident(Executor& executor, const ResidentArgs& args) {
  const ProgramView& view = args.program->device;
  const CudaExecutor& device = cuda(executor);
  const auto bytes = static_cast<std::size_t>(args.program->block_bytes());
  const auto start = [&](auto* kernel) {
    // No more blocks than run at once: one that waited for another to end would find the list
    // empty, and count as a place that took no steps.
    const std::int64_t places =
        std::int64_t{blocks_at_once("advance_resident", kernel, threads, bytes)} *
        device.multiprocessors();
    const std::int64_t blocks = std::min(args.count, std::max<std::int64_t>(places, 1));
    launch(device, "advance_resident", kernel, dim3(static_cast<unsigned int>(blocks)),
           dim3(threads), bytes, view, args.count, args.slots, args.until, args.usage);
  };
  const auto& instructions = args.program->instructions;
  const bool rare = std::any_of(instructions.begin(), instructions.end(), is_rare);
  if (view.element_bytes == sizeof(float)) {
    start(rare ? resident_kernel<float, true> : resident_kernel<float, false>);
  } else {
    start(rare ? resident_kernel<double, true> : resident_kernel<double, false>);
  }
}

}  // namespace manyfold::kernels::cuda
