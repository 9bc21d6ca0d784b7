// Recognizes W = A B, S = mask o (W - M), and every product with S.
#include "kernels/resident/fuse.hpp"

#include <cstring>
#include <optional>
#include <utility>

#include "kernels/cpu/lanes.hpp"
#include "kernels/resident/capture.hpp"

namespace manyfold::kernels::resident {
namespace {

using Calls = std::array<std::vector<Instruction>, sections>;

struct Bytes {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool meets(const Bytes& other) const { return begin < other.end && other.begin < end; }
};

template <class U>
Bytes bytes_of(const MatrixBatch<U>& m) {
  const auto begin = reinterpret_cast<std::uintptr_t>(m.data);
  const std::int64_t count = m.size() == 0 ? 0 : (m.rows - 1) * m.row_stride + m.cols;
  return {begin, begin + static_cast<std::uintptr_t>(count) * sizeof(U)};
}
template <class U>
Bytes bytes_of(const VectorBatch<U>& v) {
  const auto begin = reinterpret_cast<std::uintptr_t>(v.data);
  return {begin, begin + static_cast<std::uintptr_t>(v.count) * sizeof(U)};
}

/// Whether an operation reads any of some bytes.
class Reads {
 public:
  explicit Reads(const Bytes& bytes) : bytes_(bytes) {}
  template <class U>
  void matrix(MatrixBatch<U>& m, Access access) {
    see(bytes_of(m), access);
  }
  template <class U>
  void vector(VectorBatch<U>& v, Access access) {
    see(bytes_of(v), access);
  }
  template <class U>
  void numbers(U*&, std::int64_t, std::int64_t, Access) {}
  template <class U>
  void resting(U*&, std::int64_t) {}
  bool found() const { return found_; }

 private:
  void see(const Bytes& bytes, Access access) {
    found_ = found_ || (access != Access::write && bytes.meets(bytes_));
  }
  Bytes bytes_;
  bool found_ = false;
};

bool reads(Instruction& instruction, const Bytes& bytes) {
  Reads visitor(bytes);
  with_args(instruction, [&](auto& args) { each_operand(args, visitor); });
  return visitor.found();
}

template <class A, class B>
bool same(const MatrixBatch<A>& a, const MatrixBatch<B>& b) {
  return a.data == b.data && a.rows == b.rows && a.cols == b.cols && a.row_stride == b.row_stride &&
         a.slot_stride == b.slot_stride;
}

template <class Args>
Instruction instruction_of(Operation operation, std::int32_t element_bytes, const Args& args) {
  static_assert(sizeof(Args) <= Instruction::capacity);
  Instruction made{operation, element_bytes, {}};
  std::memcpy(made.args, &args, sizeof(Args));
  return made;
}

template <class T>
class Fuser {
 public:
  Fuser(Executor& executor, Calls& calls, PatternMemory& patterns)
      : executor_(executor), calls_(calls), patterns_(patterns) {}

  void run() {
    while (rewrite_one()) {
    }
    fuse_top_layer();
  }

 private:
  bool is(const Instruction& instruction, Operation operation) const {
    return instruction.operation == operation && instruction.element_bytes == sizeof(T);
  }

  static bool fits(const ResidualArgs<T>& r) {
    return r.mask.data != nullptr && r.mask.slot_stride == 0 && r.observed &&
           r.residual.data != nullptr && !bytes_of(r.w).meets(bytes_of(r.residual));
  }

  /// The product, in the same section, that makes W just for this residual.
  Instruction* maker(std::vector<Instruction>& section, const ResidualArgs<T>& r) const {
    Instruction* found = nullptr;
    for (Instruction& instruction : section) {
      if (is(instruction, Operation::gemm)) {
        const auto& g = instruction.as<GemmArgs<T>>();
        if (same(g.c, r.w) && g.alpha == 1 && g.beta == 0 && g.a.slot_stride != 0 &&
            g.b.slot_stride != 0)
          found = &instruction;
      }
      if (is(instruction, Operation::residual) &&
          same(instruction.as<ResidualArgs<T>>().residual, r.residual))
        break;
    }
    return found;
  }

  /// All that read W are such residuals, each with a maker; all that read S are products with S as
  /// one of two factors, or scale S in place.
  bool nobody_else_looks(const ResidualArgs<T>& r) {
    const Bytes w = bytes_of(r.w);
    const Bytes s = bytes_of(r.residual);
    for (auto& section : calls_) {
      for (Instruction& instruction : section) {
        if (reads(instruction, w)) {
          if (!is(instruction, Operation::residual)) return false;
          const auto& other = instruction.as<ResidualArgs<T>>();
          if (!fits(other) || !same(other.w, r.w) || !same(other.residual, r.residual) ||
              other.mask.data != r.mask.data || maker(section, other) == nullptr)
            return false;
        }
        if (reads(instruction, s)) {
          if (is(instruction, Operation::gemm)) {
            const auto& g = instruction.as<GemmArgs<T>>();
            const bool left = same(g.a, r.residual);
            const bool right = same(g.b, r.residual);
            if (left == right) return false;
            if ((left ? g.b : g.a).slot_stride == 0) return false;
            if ((left ? bytes_of(g.b) : bytes_of(g.a)).meets(s)) return false;
          } else if (is(instruction, Operation::add_scaled)) {
            const auto& scaled = instruction.as<AddScaledArgs<T>>();
            if (scaled.add || scaled.x.data != scaled.y.data) return false;
          } else {
            return false;
          }
        }
      }
    }
    return true;
  }

  /// Rewrites all that belongs to one residual; false when there is none left.
  bool rewrite_one() {
    for (auto& section : calls_) {
      for (const Instruction& instruction : section) {
        if (!is(instruction, Operation::residual)) continue;
        const auto args = instruction.as<ResidualArgs<T>>();
        if (!fits(args) || !nobody_else_looks(args) || !read_mask(args)) continue;
        rewrite(args);
        return true;
      }
    }
    return false;
  }

  void rewrite(const ResidualArgs<T>& r) {
    for (auto& section : calls_) {
      for (std::size_t i = 0; i < section.size(); ++i) {
        if (is(section[i], Operation::residual) &&
            same(section[i].as<ResidualArgs<T>>().residual, r.residual)) {
          Instruction* product = maker(section, r);
          section[i] = sampled(product->as<GemmArgs<T>>(), section[i].as<ResidualArgs<T>>());
          const auto at = product - section.data();
          section.erase(section.begin() + at);
          --i;
        } else if (is(section[i], Operation::gemm)) {
          const auto g = section[i].as<GemmArgs<T>>();
          if (same(g.a, r.residual)) section[i] = sparse_left(g);
          if (same(g.b, r.residual)) section[i] = sparse_right(g);
        }
      }
    }
  }

  /// Whether any operation but those at [first, last) of a section reads some bytes, in the steps
  /// without inspection.
  bool read_elsewhere(const Bytes& bytes, Section section, std::size_t first, std::size_t last) {
    for (const Section s : {evaluate, move}) {
      for (std::size_t i = 0; i < calls_[s].size(); ++i) {
        if (s == section && i >= first && i < last) continue;
        if (is(calls_[s][i], Operation::descend)) continue;  // looked at by move_step
        if (reads(calls_[s][i], bytes)) return true;
      }
    }
    return false;
  }

  /// In steps without inspection of plain gradient descent, the sampled product, the scaling of S,
  /// both products with it and the last layer's part of the descent become one operation.
  void fuse_top_layer() {
    auto& calls = calls_[evaluate];
    std::size_t first = 0;
    while (first < calls.size() && !is(calls[first], Operation::sampled_product)) ++first;
    std::size_t at = first + 1;
    if (at + 2 > calls.size()) return;
    const auto sampled = calls[first].as<SampledProductArgs<T>>();
    SparseTopLayerArgs<T> top;
    if (is(calls[at], Operation::add_scaled)) {
      const auto& scaled = calls[at].as<AddScaledArgs<T>>();
      if (scaled.y.data != sampled.residual.data || scaled.add) return;
      top.scaled = true;
      top.scale = scaled.scale;
      top.coefficient = scaled.coefficient;
      ++at;
    }
    if (at + 2 > calls.size() || !is(calls[at], Operation::sparse_product) ||
        !is(calls[at + 1], Operation::sparse_product))
      return;
    const auto gradient = calls[at].as<SparseProductArgs<T>>();
    const auto slope = calls[at + 1].as<SparseProductArgs<T>>();
    const auto plain = [&](const SparseProductArgs<T>& product) {
      return product.alpha == 1 && product.beta == 0 && product.s.data == sampled.residual.data;
    };
    // G = S P^T by rows and slope = W^T S by columns, of S = W P.
    const bool as_expected =
        plain(gradient) && plain(slope) && sampled.half_square == nullptr && sampled.a_col == 1 &&
        sampled.b_col == 1 && sampled.a.cols == sampled.k && sampled.k <= cpu::longest_top_row &&
        same(gradient.x, sampled.b) && gradient.x_line == 1 && gradient.c_step == 1 &&
        same(slope.x, sampled.a) && slope.x_step == 1 && slope.c_line == 1;
    if (!as_expected || !move_step(sampled, gradient, top)) return;
    if (read_elsewhere(bytes_of(sampled.a), evaluate, 0, at + 2) ||
        read_elsewhere(bytes_of(sampled.residual), evaluate, first, at + 2))
      return;
    top.pattern = sampled.pattern;
    top.p = sampled.b;
    top.target = sampled.target;
    top.target_entry = sampled.target_entry;
    top.slope = slope.c;
    calls[first] = instruction_of(Operation::sparse_top_layer, sizeof(T), top);
    const auto begin = calls.begin() + static_cast<std::ptrdiff_t>(first);
    calls.erase(begin + 1, begin + static_cast<std::ptrdiff_t>(at + 2 - first));
    descent_->params.count = descent_->grad.count = kept_;
  }

  /// Whether the layer's step is a constant learning rate's, its parameters the last of all that
  /// descend.
  bool move_step(const SampledProductArgs<T>& sampled, const SparseProductArgs<T>& gradient,
                 SparseTopLayerArgs<T>& top) {
    descent_ = nullptr;
    for (Instruction& instruction : calls_[move]) {
      if (instruction.operation == Operation::constant_step) {
        top.learning_rate = instruction.as<ConstantStepArgs>().learning_rate;
      } else if (is(instruction, Operation::descend)) {
        descent_ = &instruction.as<DescendArgs<T>>();
      } else if (instruction.operation != Operation::advance) {
        return false;  // a schedule, another optimizer
      }
    }
    if (descent_ == nullptr || top.learning_rate == nullptr) return false;
    kept_ = sampled.a.data - descent_->params.data;
    top.w = {descent_->params.data + kept_, sampled.a.slots,     sampled.a.rows, sampled.a.cols,
             sampled.a.slot_stride,         sampled.a.row_stride};
    const Bytes g = bytes_of(gradient.c);
    std::size_t readers = 0;
    for (const Section s : {evaluate, move}) {
      for (Instruction& instruction : calls_[s]) readers += reads(instruction, g) ? 1 : 0;
    }
    return kept_ > 0 && sampled.a.slot_stride == descent_->params.slot_stride &&
           gradient.c.data - descent_->grad.data == kept_ &&
           kept_ + sampled.a.size() == descent_->params.count && readers == 1;
  }

  const std::int32_t* keep(std::vector<std::int32_t> list) {
    patterns_.push_back(std::move(list));
    return patterns_.back().data();
  }

  /// Patterns by rows and by columns; false where the mask is too dense to gain from them.
  bool read_mask(const ResidualArgs<T>& r) {
    const std::int64_t rows = r.mask.rows;
    const std::int64_t cols = r.mask.cols;
    std::vector<std::uint8_t> mask(static_cast<std::size_t>((rows - 1) * r.mask.row_stride + cols));
    executor_.copy_out(mask.data(), r.mask.data, mask.size());
    const auto observed = [&](std::int64_t i, std::int64_t j) {
      return mask[static_cast<std::size_t>(i * r.mask.row_stride + j)] != 0;
    };
    std::int64_t count = 0;
    for (const std::uint8_t one : mask) count += one != 0 ? 1 : 0;
    if (static_cast<double>(count) > densest_pattern * static_cast<double>(rows * cols)) {
      return false;
    }
    for (const bool by_rows : {true, false}) {
      std::vector<std::int32_t> begin;
      std::vector<std::int32_t> entry;
      std::vector<std::int32_t> other;
      std::vector<std::int32_t> target;
      for (std::int64_t line = 0; line < (by_rows ? rows : cols); ++line) {
        begin.push_back(static_cast<std::int32_t>(entry.size()));
        for (std::int64_t o = 0; o < (by_rows ? cols : rows); ++o) {
          const std::int64_t i = by_rows ? line : o;
          const std::int64_t j = by_rows ? o : line;
          if (!observed(i, j)) continue;
          entry.push_back(static_cast<std::int32_t>(i * r.residual.row_stride + j));
          target.push_back(static_cast<std::int32_t>(i * r.target.row_stride + j));
          other.push_back(static_cast<std::int32_t>(o));
        }
      }
      begin.push_back(static_cast<std::int32_t>(entry.size()));
      Pattern& pattern = by_rows ? rows_ : cols_;
      pattern.lines = by_rows ? rows : cols;
      pattern.begin = keep(std::move(begin));
      pattern.entry = keep(std::move(entry));
      pattern.other = keep(std::move(other));
      if (by_rows) target_ = keep(std::move(target));
    }
    return true;
  }

  Instruction sampled(const GemmArgs<T>& g, const ResidualArgs<T>& r) const {
    const bool ta = g.transpose_a == Transpose::yes;
    const bool tb = g.transpose_b == Transpose::yes;
    return instruction_of(Operation::sampled_product, sizeof(T),
                          SampledProductArgs<T>{.pattern = rows_,
                                                .k = ta ? g.a.rows : g.a.cols,
                                                .a = g.a,
                                                .a_row = ta ? 1 : g.a.row_stride,
                                                .a_col = ta ? g.a.row_stride : 1,
                                                .b = g.b,
                                                .b_row = tb ? 1 : g.b.row_stride,
                                                .b_col = tb ? g.b.row_stride : 1,
                                                .target = r.target,
                                                .target_entry = target_,
                                                .residual = r.residual,
                                                .half_square = r.half_square});
  }

  Instruction sparse_left(const GemmArgs<T>& g) const {
    const bool ta = g.transpose_a == Transpose::yes;
    const bool tb = g.transpose_b == Transpose::yes;
    return instruction_of(Operation::sparse_product, sizeof(T),
                          SparseProductArgs<T>{.pattern = ta ? cols_ : rows_,
                                               .count = g.c.cols,
                                               .alpha = g.alpha,
                                               .beta = g.beta,
                                               .s = g.a,
                                               .x = g.b,
                                               .x_line = tb ? 1 : g.b.row_stride,
                                               .x_step = tb ? g.b.row_stride : 1,
                                               .c = g.c,
                                               .c_line = g.c.row_stride,
                                               .c_step = 1});
  }

  Instruction sparse_right(const GemmArgs<T>& g) const {
    const bool ta = g.transpose_a == Transpose::yes;
    const bool tb = g.transpose_b == Transpose::yes;
    return instruction_of(Operation::sparse_product, sizeof(T),
                          SparseProductArgs<T>{.pattern = tb ? rows_ : cols_,
                                               .count = g.c.rows,
                                               .alpha = g.alpha,
                                               .beta = g.beta,
                                               .s = g.b,
                                               .x = g.a,
                                               .x_line = ta ? g.a.row_stride : 1,
                                               .x_step = ta ? 1 : g.a.row_stride,
                                               .c = g.c,
                                               .c_line = 1,
                                               .c_step = g.c.row_stride});
  }

  Executor& executor_;
  Calls& calls_;
  PatternMemory& patterns_;
  Pattern rows_;
  Pattern cols_;
  const std::int32_t* target_ = nullptr;
  DescendArgs<T>* descent_ = nullptr;  ///< of the steps without inspection
  std::int64_t kept_ = 0;              ///< parameters that it goes on moving
};

}  // namespace

void fuse(Executor& executor, std::array<std::vector<Instruction>, sections>& calls,
          PatternMemory& patterns) {
  Fuser<double>(executor, calls, patterns).run();
  Fuser<float>(executor, calls, patterns).run();
}

}  // namespace manyfold::kernels::resident
