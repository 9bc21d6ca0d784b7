// Recognizes W = A B, S = mask o (W - M), and every product with S.
#include <utility>

#include "kernels/resident/fuse.hpp"
#include "kernels/resident/rewrite.hpp"

namespace manyfold::kernels::resident {
namespace {

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
  static bool is(const Instruction& instruction, Operation operation) {
    return resident::is<T>(instruction, operation);
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
        if (same(g.c, r.w) && g.alpha == 1 && g.beta == 0 && g.finish == Finish::none &&
            g.a.slot_stride != 0 && g.b.slot_stride != 0)
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
            if (left == right || g.finish != Finish::none) return false;
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
  /// both products with it and the descent of the last layer become one operation, with that of the
  /// layer below where there is only one.
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
        sampled.b_col == 1 && sampled.a.cols == sampled.k && sampled.residual.dense() &&
        same(gradient.x, sampled.b) && gradient.x_line == 1 && gradient.c_step == 1 &&
        same(slope.x, sampled.a) && slope.x_step == 1 && slope.c_line == 1;
    if (!as_expected || !move_step(sampled, gradient, top)) return;
    if (read_elsewhere(bytes_of(sampled.a), evaluate, 0, at + 2) ||
        read_elsewhere(bytes_of(sampled.residual), evaluate, first, at + 2))
      return;
    top.rows = sampled.pattern;
    top.cols = slope.pattern;
    top.cols.entry = numbers(sampled.pattern, slope.pattern);
    // The layer below is writable: what is read of it here was written by a descent.
    top.p = {const_cast<T*>(sampled.b.data), sampled.b.slots,     sampled.b.rows, sampled.b.cols,
             sampled.b.slot_stride,          sampled.b.row_stride};
    top.target = sampled.target;
    top.target_entry = sampled.target_entry;
    top.s = sampled.residual;
    top.slope = slope.c;
    top.moves_p = is_all_below(sampled.b, slope.c) && first == 0 && at + 2 == calls.size();
    calls[first] = instruction_of(Operation::sparse_top_layer, sizeof(T), top);
    const auto begin = calls.begin() + static_cast<std::ptrdiff_t>(first);
    calls.erase(begin + 1, begin + static_cast<std::ptrdiff_t>(at + 2 - first));
    auto& moves = calls_[move];
    auto& descent = moves[descent_].as<DescendArgs<T>>();
    descent.params.count = descent.grad.count = kept_;
    if (top.moves_p) moves.erase(moves.begin() + static_cast<std::ptrdiff_t>(descent_));
  }

  /// Whether P is all that still descends, and the slope its gradient.
  bool is_all_below(const MatrixBatch<const T>& p, const MatrixBatch<T>& slope) {
    const auto& descent = calls_[move][descent_].as<DescendArgs<T>>();
    return p.data == descent.params.data && slope.data == descent.grad.data && p.dense() &&
           slope.dense() && p.size() == kept_;
  }

  /// For each entry in the order of columns, its number in that of rows.
  const std::int32_t* numbers(const Pattern& rows, const Pattern& cols) {
    std::vector<std::int32_t> next(rows.begin, rows.begin + rows.lines);
    std::vector<std::int32_t> numbers;
    for (std::int32_t t = 0; t < cols.begin[cols.lines]; ++t) {
      numbers.push_back(next[static_cast<std::size_t>(cols.other[t])]++);
    }
    return keep(std::move(numbers));
  }

  /// Whether the layer's step is a constant learning rate's, its parameters the last of all that
  /// descend.
  bool move_step(const SampledProductArgs<T>& sampled, const SparseProductArgs<T>& gradient,
                 SparseTopLayerArgs<T>& top) {
    auto& moves = calls_[move];
    descent_ = moves.size();
    for (std::size_t i = 0; i < moves.size(); ++i) {
      if (moves[i].operation == Operation::constant_step) {
        top.learning_rate = moves[i].as<ConstantStepArgs>().learning_rate;
      } else if (is(moves[i], Operation::descend)) {
        descent_ = i;
      } else if (moves[i].operation != Operation::advance) {
        return false;  // a schedule, another optimizer
      }
    }
    if (descent_ == moves.size() || top.learning_rate == nullptr) return false;
    const auto& descent = moves[descent_].as<DescendArgs<T>>();
    kept_ = sampled.a.data - descent.params.data;
    top.w = {descent.params.data + kept_, sampled.a.slots,     sampled.a.rows, sampled.a.cols,
             sampled.a.slot_stride,       sampled.a.row_stride};
    const Bytes g = bytes_of(gradient.c);
    std::size_t readers = 0;
    for (const Section s : {evaluate, move}) {
      for (Instruction& instruction : calls_[s]) readers += reads(instruction, g) ? 1 : 0;
    }
    return kept_ > 0 && sampled.a.slot_stride == descent.params.slot_stride &&
           gradient.c.data - descent.grad.data == kept_ &&
           kept_ + sampled.a.size() == descent.params.count && readers == 1;
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
  std::size_t descent_ = 0;  ///< where it stands in the steps without inspection
  std::int64_t kept_ = 0;    ///< parameters that it goes on moving
};

}  // namespace

void fuse_masks(Executor& executor, Calls& calls, PatternMemory& patterns) {
  Fuser<double>(executor, calls, patterns).run();
  Fuser<float>(executor, calls, patterns).run();
}

}  // namespace manyfold::kernels::resident
