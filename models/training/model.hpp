// What training asks of a model: the parameters of a family's members side by side on a device,
// their gradient, and what can be observed of them. One entry per kind of model (`ModelKind`) tells
// the rest of the program its keys, shapes, probes and memory before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/config/settings.hpp"
#include "core/config/spec.hpp"
#include "core/data/array_file.hpp"
#include "core/executor/executor.hpp"
#include "core/record/layout.hpp"
#include "core/view.hpp"
#include "kernels/stepping.hpp"
#include "kernels/work_slots.hpp"
#include "models/curvature/product.hpp"

namespace manyfold {

/// An observable and how the record names it. `extents` are the dimensions beyond (member, sample):
/// {"layer"}, {"layer", "index"}; none for one value a member.
struct ProbeKind {
  std::string name;
  std::vector<std::string> extents;
  std::string units;
  std::string long_name;
  std::string comment;  ///< formula and source
  /// Keys of this probe besides the cadence and the watches ("count").
  std::vector<KeySpec> keys;
  /// It shows all parameters, from W_1 on, with one extent: the record has a group per family with
  /// the arrays that ModelKind::arrays names.
  bool is_parameters = false;
  /// Its kernels wait for a GPU (Executor::record).
  bool waits = false;
};

/// One array among a member's parameters, row-major, and how the record names it.
struct ParameterArray {
  std::string name;                 ///< "W_1"
  std::vector<std::int64_t> shape;  ///< (rows, cols)
};

/// Parameters and gradient of every slot, (slot, element), all layers one after another from W_1.
template <class T>
struct Parameters {
  VectorBatch<T> values;
  VectorBatch<T> gradient;
};
using AnyParameters = std::variant<Parameters<float>, Parameters<double>>;
using AnyCurvature = std::variant<CurvatureProduct<float>*, CurvatureProduct<double>*>;

/// Elements from one slot to the next where each has `elements`: slots start on cache lines, so
/// that a slot's vectors do not straddle its neighbour's.
template <class T>
constexpr std::int64_t padded(std::int64_t elements) {
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  return (elements + line - 1) / line * line;
}

/// Something that a slot's member takes along when it is saved, branched off or continued: `bytes`
/// of device memory a slot, slots `stride` bytes apart. Names are unique within one owner.
struct StateArray {
  std::string name;
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::size_t stride = 0;
};

/// A step's gradient that is not the objective's own: of a few of its terms, of noisy labels, or
/// both. An objective is a sum over terms (observed entries, measurements), numbered from 0.
struct StochasticGradient {
  /// (slot, batch): the terms drawn; the gradient is then batch^-1 terms() times their sum, so that
  /// its mean over uniform draws is the objective's. nullptr: all terms.
  const std::int32_t* terms = nullptr;
  std::int64_t batch = 0;
  /// (slot): standard deviation of fresh Gaussian noise on every label; nullptr: none. The noise of
  /// term j at step t is draw t * terms() + j of (seed, "sgd/label_noise").
  const double* label_noise = nullptr;
  const std::uint64_t* seeds = nullptr;  ///< (slot), for label noise
};

/// Memory and work of a family, known from its shape alone.
struct Footprint {
  std::size_t bytes_per_slot = 0;    ///< everything the model allocates for one more slot
  std::size_t shared_bytes = 0;      ///< once per family
  std::size_t remembered_bytes = 0;  ///< of bytes_per_slot, what `Model::state` shows
  std::size_t work_bytes = 0;   ///< of bytes_per_slot, what WorkSlots has for slots in a window
  double flops_per_step = 0;    ///< multiplications and additions of one gradient, one member
  std::int64_t parameters = 0;  ///< per member
  std::int64_t rows = 0;        ///< examples that a step's products have as rows; 0: none have
};

class Model {
 public:
  virtual ~Model() = default;

  /// Puts members[i] at its start into slot i; slots beyond members.size() hold anything finite.
  virtual void load(std::span<const Settings> members) = 0;
  virtual AnyParameters parameters() = 0;

  /// Gradient at the current parameters; train loss and squared gradient norm into `control` (each
  /// only where asked: they cost a pass). Kernels only, so that it can be recorded.
  struct Wanted {
    bool train_loss = true;
    bool grad_norm2 = true;
  };
  virtual void evaluate(const kernels::StepControl& control, Wanted wanted) = 0;

  /// The gradient that `what` describes, in place of the objective's own; penalties on parameters
  /// are in it. Kernels only.
  virtual void evaluate_stochastic(const kernels::StepControl& control,
                                   const StochasticGradient& what) = 0;
  /// Ends members by conditions of the model's own at the state that `evaluate` saw last, right
  /// after kernels::check_stop. Kernels only.
  virtual void check(const kernels::StepControl&) {}
  /// Number of terms of each slot's objective (slot), in device memory, filled by `load`.
  virtual const std::int64_t* terms() = 0;

  /// Values of one probe at the parameters that `evaluate` saw last: as many doubles per slot as
  /// the product of its extents, slots `stride` apart. Kernels only.
  virtual void observe(const std::string& probe, double* out, std::int64_t stride) = 0;
  /// Whether that probe's kernels wait for a GPU here, where ProbeKind::waits does not say so of
  /// all.
  virtual bool waits(const std::string& probe) {
    (void)probe;
    return false;
  }
  /// Products with its curvature; null where no probe asks for one.
  virtual AnyCurvature curvature() { return {}; }
  /// What probes remember of a member's start, beside the parameters.
  virtual std::vector<StateArray> state() { return {}; }
};

/// An array that a member has before its first step, and what it is.
struct DrawnArray {
  std::string name;  ///< of its file: "target", "W_1"
  std::string doc;
  Array array;
};

struct ModelKind {
  std::vector<std::string> names;  ///< values of model.kind
  bool decays;                     ///< takes weight decay (weight_decay.hpp)
  void (*add_keys)(Spec&);
  std::span<const ProbeKind> (*probes)();
  /// Rejects what the keys' own ranges cannot: shapes that do not multiply, a probe that has
  /// nothing to look at. Throws InputError.
  void (*validate)(const Settings&);
  /// Members with equal keys share kernels and a memory layout: shapes, objective, start.
  std::string (*shape_key)(const Settings&);
  /// Members with equal keys have the same targets, masks and data.
  std::string (*problem_key)(const Settings&);
  /// Draws or loads the problem to see that it can be: what `validate` cannot know from keys alone
  /// (a mask that observes nothing, fewer images than asked for). Throws InputError.
  void (*check_problem)(const Settings&);
  Footprint (*footprint)(const Settings&, bool shared_problem);
  /// Lengths of a probe's extents for members of this shape. The kind's name is the one that the
  /// experiment gives the probe.
  std::vector<std::int64_t> (*extents)(const Settings&, const ProbeKind&);
  /// What only evaluations need is allocated through `work`, which outlives the model; `load` calls
  /// kernels on it in each window.
  std::unique_ptr<Model> (*make)(Executor&, const Settings& example, std::int64_t slots,
                                 bool shared_problem, kernels::WorkSlots& work);
  /// The parameters of members of this shape, in their order.
  std::vector<ParameterArray> (*arrays)(const Settings&) = nullptr;
  /// What a member is trained on and from: its problem and its start, in double precision, as
  /// `make`'s model loads them (in f32 it rounds them).
  std::vector<DrawnArray> (*drawn)(const Settings&);
};

/// Bytes of one of a member's parameters.
std::size_t element_bytes(const Settings& settings);

/// A model that is a class template over the element type, in the precision of `example`.
template <template <class> class Kind, class... Args>
std::unique_ptr<Model> make_model(Executor& executor, const Settings& example, Args&&... args) {
  if (example.text("precision") == "f64") {
    return std::make_unique<Kind<double>>(executor, example, std::forward<Args>(args)...);
  }
  return std::make_unique<Kind<float>>(executor, example, std::forward<Args>(args)...);
}

/// Product of the extents.
std::int64_t width_of(const ModelKind& kind, const Settings& settings, const ProbeKind& probe);

/// Every kind of model of the program.
std::span<const ModelKind> model_kinds();
/// The kind that model.kind names; validation has made sure that there is one.
const ModelKind& model_kind(const Settings& settings);

/// All keys that an experiment file may have.
const Spec& experiment_spec();

/// The seed that draws a member's `purpose`: init.seed or sgd.seed, by default `seed`.
std::uint64_t seed_of(const Settings& settings, std::string_view key);

}  // namespace manyfold
