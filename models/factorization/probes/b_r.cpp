// The regions B_r of parameters that SGD is proved to enter and never to leave (Wang and Jacot
// 2023, section 3.2, whose first condition is in the squared Frobenius norm; its appendix B states
// it in the spectral norm instead):
//   balanced  ||W_{h+1}^T W_{h+1} - W_h W_h^T||_F^2 <= epsilon1 for all pairs of layers
//   rank      sum_i f_alpha(s_i(W_h)^2) <= rank + epsilon2 for all layers
//   bounded   ||W_h||_F^2 <= bound for all layers
// A member is 1 inside and 0 outside, of each condition by itself and of all together.
#include <optional>
#include <vector>

#include "core/executor/memory.hpp"
#include "kernels/norms.hpp"
#include "kernels/reduce.hpp"
#include "models/factorization/probes.hpp"
#include "models/factorization/probes/of_spectrum.hpp"
#include "models/factorization/probes/pair_difference.hpp"

namespace manyfold::factorization {
namespace {

using kernels::Reduction;

/// Membership of the conditions that `probe` has keys for.
template <class T>
class InBr final : public Observer<T> {
 public:
  explicit InBr(const ObserverContext& context)
      : layers_(context.probe.shape.layers()),
        values_(context.executor, context.slots * layers_),
        parts_(context.executor, context.slots * 3) {
    const ProbeSettings& probe = context.probe;
    if (probe.has("epsilon1")) {
      epsilon1_ = probe.number("epsilon1");
      difference_.emplace_back(context);
    }
    if (probe.has("epsilon2")) {
      alpha_ = probe.number("alpha");
      rank_ = static_cast<double>(probe.integer("rank")) + probe.number("epsilon2");
    }
    if (probe.has("bound")) bound_ = probe.number("bound");
  }

  void observe(Scene<T>& scene, double* out, std::int64_t stride) override {
    std::int64_t parts = 0;
    auto decide = [&](std::int64_t count, double threshold) {
      kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                         .count = count,
                                         .reduction = Reduction::all_at_most,
                                         .x = values_.data(),
                                         .x_stride = layers_,
                                         .threshold = threshold,
                                         .out = parts_.data() + parts++,
                                         .out_stride = 3});
    };
    if (epsilon1_) {
      for (std::int64_t h = 1; h < layers_; ++h) {
        const MatrixBatch<const T> difference = difference_.front()(scene.chain(), h);
        kernels::sum_of_squares<T>(scene.executor(),
                                   {flatten(difference), values_.data() + (h - 1), layers_});
      }
      decide(layers_ - 1, *epsilon1_);
    }
    if (rank_) {
      layer_f_alpha_ranks(scene, alpha_, values_.data(), layers_);
      decide(layers_, *rank_);
    }
    if (bound_) {
      for (std::int64_t h = 1; h <= layers_; ++h) {
        const MatrixBatch<const T> weight = scene.chain().weight(h);
        kernels::sum_of_squares<T>(scene.executor(),
                                   {flatten(weight), values_.data() + (h - 1), layers_});
      }
      decide(layers_, *bound_);
    }
    kernels::reduce(scene.executor(), {.slots = scene.slots(),
                                       .count = parts,
                                       .reduction = Reduction::least,
                                       .x = parts_.data(),
                                       .x_stride = 3,
                                       .out = out,
                                       .out_stride = stride});
  }

 private:
  std::int64_t layers_;
  std::optional<double> epsilon1_;
  std::optional<double> rank_;
  std::optional<double> bound_;
  double alpha_ = 1;
  Buffer<double> values_;
  Buffer<double> parts_;
  std::vector<PairDifference<T>> difference_;  ///< one where it is asked for
};

ObserverBytes bytes(const ProbeSettings& probe) {
  return {.per_slot = double_bytes(probe.shape.layers() + 3) +
                      (probe.has("epsilon1") ? pair_difference_bytes(probe) : 0)};
}

KeySpec number_key(const char* path, const char* doc, bool may_be_zero) {
  return {.path = path,
          .type = Type::number,
          .doc = doc,
          .required = true,
          .min = 0,
          .min_exclusive = !may_be_zero,
          .sweepable = false};
}
KeySpec epsilon1_key() {
  return number_key("epsilon1", "Largest squared balancedness of neighbouring layers in B_r.",
                    true);
}
KeySpec epsilon2_key() {
  return number_key("epsilon2", "How far the smooth rank of a layer may lie above rank in B_r.",
                    true);
}
KeySpec bound_key() {
  return number_key("bound", "Largest squared norm of a layer in B_r, the paper's C.", false);
}

const RegisterProbe in_b_r({
    .kind = {.name = "in_b_r",
             .extents = {},
             .units = "1",
             .long_name = "whether the parameters lie in B_r",
             .comment = "1 where ||W_{h+1}^T W_{h+1} - W_h W_h^T||_F^2 <= epsilon1, sum_i "
                        "f_alpha(s_i(W_h)^2) <= rank + epsilon2 and ||W_h||_F^2 <= bound for all "
                        "layers, else 0 (Wang and Jacot 2023, section 3.2)",
             .keys = {rank_key(true), alpha_key(), epsilon1_key(), epsilon2_key(), bound_key()}},
    .validate = validate_pairs,
    .needs = {.layer_singular_values = true},
    .bytes = bytes,
    .make = observer_maker<InBr>(),
});

const RegisterProbe in_b_r_balance({
    .kind = {.name = "in_b_r_balance",
             .extents = {},
             .units = "1",
             .long_name = "whether the layers are as balanced as B_r asks",
             .comment = "1 where ||W_{h+1}^T W_{h+1} - W_h W_h^T||_F^2 <= epsilon1 for all pairs "
                        "of layers, else 0 (Wang and Jacot 2023, section 3.2)",
             .keys = {epsilon1_key()}},
    .validate = validate_pairs,
    .bytes = bytes,
    .make = observer_maker<InBr>(),
});

const RegisterProbe in_b_r_rank({
    .kind = {.name = "in_b_r_rank",
             .extents = {},
             .units = "1",
             .long_name = "whether the layers have the rank that B_r asks for",
             .comment = "1 where sum_i f_alpha(s_i(W_h)^2) <= rank + epsilon2 for all layers, else "
                        "0 (Wang and Jacot 2023, section 3.2)",
             .keys = {rank_key(true), alpha_key(), epsilon2_key()}},
    .needs = {.layer_singular_values = true},
    .bytes = bytes,
    .make = observer_maker<InBr>(),
});

const RegisterProbe in_b_r_bound({
    .kind = {.name = "in_b_r_bound",
             .extents = {},
             .units = "1",
             .long_name = "whether the layers are as bounded as B_r asks",
             .comment = "1 where ||W_h||_F^2 <= bound for all layers, else 0 (Wang and Jacot 2023, "
                        "section 3.2)",
             .keys = {bound_key()}},
    .bytes = bytes,
    .make = observer_maker<InBr>(),
});

}  // namespace
}  // namespace manyfold::factorization
