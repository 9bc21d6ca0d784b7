// Recognizes forward products, the residual of one drawn entry, backward products, weight decay and
// descent of a chain of layers that stand one after another among the parameters.
#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/resident/fuse.hpp"
#include "kernels/resident/rewrite.hpp"

namespace manyfold::kernels::resident {
namespace {

/// Reads a section's operations one after another, passing over those that a step of any chain may
/// have in between.
template <class T>
class Reader {
 public:
  explicit Reader(std::vector<Instruction>& section) : section_(section) {}

  /// The next operation, if it is of this kind; it will be replaced.
  template <class Args>
  const Args* next(Operation operation) {
    while (at_ < section_.size() && stays(section_[at_])) ++at_;
    if (at_ == section_.size() || section_[at_].operation != operation) return nullptr;
    if (section_[at_].element_bytes != 0 && section_[at_].element_bytes != sizeof(T)) {
      return nullptr;
    }
    replaced_.push_back(at_);
    return &section_[at_++].template as<Args>();
  }
  /// Whether the rest touches nothing but a member's numbers.
  bool ends() {
    return std::all_of(section_.begin() + static_cast<std::ptrdiff_t>(at_), section_.end(), stays);
  }
  /// Puts `fused` in the place of the last operation that was read, and takes the others out.
  void replace(const Instruction& fused) {
    section_[replaced_.back()] = fused;
    replaced_.pop_back();
    for (auto at = replaced_.rbegin(); at != replaced_.rend(); ++at) {
      section_.erase(section_.begin() + static_cast<std::ptrdiff_t>(*at));
    }
  }

 private:
  static bool stays(const Instruction& instruction) {
    switch (instruction.operation) {
      case Operation::draw_terms:
      case Operation::follow_schedule:
      case Operation::constant_step:
      case Operation::advance:
        return true;
      default:
        return false;
    }
  }

  std::vector<Instruction>& section_;
  std::size_t at_ = 0;
  std::vector<std::size_t> replaced_;
};

template <class T>
class Chain {
 public:
  explicit Chain(std::vector<Instruction>& section) : reader_(section) {}

  bool fuse() {
    if (!forward() || !backward() || !update() || !reader_.ends()) return false;
    if (fused_.scratch_size() > fused_.scratch.count) return false;
    fused_.scratch.count = fused_.scratch_size();
    reader_.replace(instruction_of(Operation::drawn_descent, sizeof(T), fused_));
    return true;
  }

 private:
  using Product = GemmArgs<T>;

  static bool plain(const Product& g, Transpose a, Transpose b) {
    return g.transpose_a == a && g.transpose_b == b && g.alpha == 1 && g.beta == 0 &&
           g.finish == Finish::none && g.a.slot_stride != 0 && g.b.slot_stride != 0;
  }

  /// P_1 = W_1, P_h = W_h P_{h-1}, and the residual of P_L.
  bool forward() {
    const auto* product = reader_.template next<Product>(Operation::gemm);
    if (product == nullptr || !plain(*product, Transpose::no, Transpose::no)) return false;
    weights_ = {product->b};
    prefixes_ = {product->b};
    while (product != nullptr) {
      const bool follows = plain(*product, Transpose::no, Transpose::no) &&
                           same(product->b, prefixes_.back()) && product->a.dense() &&
                           product->a.data == weights_.back().data + weights_.back().size();
      if (!follows) return false;
      weights_.push_back(product->a);
      prefixes_.push_back(product->c);
      product = reader_.template next<Product>(Operation::gemm);
    }
    if (weights_.size() > static_cast<std::size_t>(DrawnDescentArgs<T>::most_layers)) return false;
    const auto* residual = reader_.template next<DrawnResidualArgs<T>>(Operation::drawn_residual);
    if (residual == nullptr || residual->drawn == nullptr || residual->batch != 1 ||
        !same(residual->w, prefixes_.back()))
      return false;
    static_cast<DrawnTerms&>(fused_) = *residual;
    fused_.target = residual->target;
    slope_ = residual->residual;
    fused_.layers = static_cast<std::int32_t>(weights_.size());
    fused_.sizes[0] = static_cast<std::int32_t>(weights_.front().cols);
    for (std::size_t h = 0; h < weights_.size(); ++h) {
      fused_.sizes[h + 1] = static_cast<std::int32_t>(weights_[h].rows);
    }
    return true;
  }

  /// G_h = S_h P_{h-1}^T, S_{h-1} = W_h^T S_h, S_1 = G_1, all in one vector.
  bool backward() {
    for (std::size_t h = weights_.size(); h >= 2; --h) {
      const auto* outer = reader_.template next<Product>(Operation::gemm);
      if (outer == nullptr || !plain(*outer, Transpose::no, Transpose::yes) ||
          !same(outer->a, slope_) || !same(outer->b, prefixes_[h - 2]))
        return false;
      gradients_.push_back(outer->c);
      const auto* back = reader_.template next<Product>(Operation::gemm);
      if (back == nullptr || !plain(*back, Transpose::yes, Transpose::no) ||
          !same(back->a, weights_[h - 1]) || !same(back->b, slope_))
        return false;
      slope_ = back->c;
    }
    gradients_.push_back(slope_);
    std::reverse(gradients_.begin(), gradients_.end());
    for (std::size_t h = 0; h < weights_.size(); ++h) {
      if (gradients_[h].data - gradients_.front().data != weights_[h].data - weights_.front().data)
        return false;
    }
    return true;
  }

  /// G += decay theta, theta -= step G.
  bool update() {
    const auto* decay = reader_.template next<AddScaledArgs<T>>(Operation::add_scaled);
    const auto* descent = reader_.template next<DescendArgs<T>>(Operation::descend);
    if (descent == nullptr || descent->params.data != weights_.front().data ||
        descent->grad.data != gradients_.front().data || descent->params.count != total() ||
        descent->grad.slot_stride == 0)
      return false;
    if (decay != nullptr) {
      if (!decay->add || decay->x.data != descent->params.data ||
          decay->y.data != descent->grad.data || decay->y.count != total())
        return false;
      fused_.decays = true;
      fused_.decay_scale = decay->scale;
      fused_.decay = decay->coefficient;
    }
    fused_.params = descent->params;
    fused_.scratch = {const_cast<T*>(descent->grad.data), descent->grad.slots, descent->grad.count,
                      descent->grad.slot_stride};
    fused_.step_size = descent->control.step_size;
    return fused_.step_size != nullptr;
  }

  std::int64_t total() const {
    return weights_.back().data + weights_.back().size() - weights_.front().data;
  }

  Reader<T> reader_;
  std::vector<MatrixBatch<const T>> weights_;
  std::vector<MatrixBatch<const T>> prefixes_;
  std::vector<MatrixBatch<const T>> gradients_;  ///< of W_1, W_2, ...
  MatrixBatch<const T> slope_;
  DrawnDescentArgs<T> fused_;
};

}  // namespace

void fuse_drawn(Calls& calls) {
  // Both sections or neither: the gradient's memory becomes scratch.
  auto checked = calls[move_checked];
  auto plain = calls[move];
  const bool fused = (Chain<float>(checked).fuse() && Chain<float>(plain).fuse()) ||
                     (Chain<double>(checked).fuse() && Chain<double>(plain).fuse());
  if (!fused) return;
  calls[move_checked] = std::move(checked);
  calls[move] = std::move(plain);
}

}  // namespace manyfold::kernels::resident
