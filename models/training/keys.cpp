// Keys that belong to no model: name, precision, seeds, optimizer, stopping, cadences, probes.
#include <array>
#include <stdexcept>

#include "models/factorization/factorization.hpp"
#include "models/network/network.hpp"
#include "models/teacher/teacher.hpp"
#include "models/training/model.hpp"
#include "models/training/optimizer.hpp"
#include "models/training/probes.hpp"
#include "models/training/schedule.hpp"
#include "models/training/weight_decay.hpp"

namespace manyfold {
namespace {

void add_general_keys(Spec& spec) {
  spec.add({.path = "name",
            .type = Type::text,
            .doc = "What the experiment is called in its record.",
            .default_value = std::string("experiment"),
            .sweepable = false});
  spec.add({.path = "precision",
            .type = Type::text,
            .doc = "Arithmetic of parameters and gradients. tf32 is f32 whose products a GPU may "
                   "round to 10 bits of mantissa; losses and norms are summed in double always.",
            .default_value = std::string("f64"),
            .choices = {"f64", "f32", "tf32"}});
  spec.add({.path = "seed",
            .type = Type::integer,
            .doc = "Draws what init.seed and sgd.seed draw, where these are not given.",
            .default_value = std::int64_t{0},
            .min = 0});
  spec.add({.path = "problem.seed",
            .type = Type::integer,
            .doc = "Draws targets, masks and data: one problem for all members unless it is swept.",
            .default_value = std::int64_t{0},
            .min = 0});
  spec.add({.path = "init.seed",
            .type = Type::integer,
            .doc = "Draws the initial parameters; by default `seed`.",
            .min = 0});
  spec.add({.path = "sgd.seed",
            .type = Type::integer,
            .doc = "Draws entries, minibatches and noise; by default `seed`.",
            .min = 0});
}

void add_stop_keys(Spec& spec) {
  spec.add({.path = "stop.steps",
            .type = Type::integer,
            .doc = "Steps of a member that nothing else ends; 0: it is looked at as it starts.",
            .required = true,
            .min = 0,
            .max = 1e15});
  spec.add({.path = "stop.train_loss",
            .type = Type::number,
            .doc = "A member has converged when its train loss is at or below this.",
            .min = 0});
  spec.add({.path = "stop.grad_norm",
            .type = Type::number,
            .doc = "A member has converged when the norm of its gradient is at or below this.",
            .min = 0});
  spec.add({.path = "stop.divergence",
            .type = Type::number,
            .doc =
                "A member has diverged when its train loss is above this. Without it only values "
                "that are not finite count.",
            .min = 0,
            .min_exclusive = true});
  spec.add(
      {.path = "stop.check_every",
       .type = Type::integer,
       .doc = "Steps between two looks at the stop conditions and at running and event probes.",
       .default_value = std::int64_t{10},
       .min = 1,
       .max = 1e9,
       .sweepable = false});
}

void add_record_keys(Spec& spec) {
  spec.add({.path = "record.states",
            .type = Type::boolean,
            .doc =
                "Keeps the last states of members in states.log beside the record, to go on with "
                "them: manyfold run --extend.",
            .default_value = true,
            .sweepable = false});
}

}  // namespace

std::span<const ModelKind> model_kinds() {
  static const std::array kinds{factorization_kind(), teacher_kind(), network_kind()};
  return kinds;
}

const ModelKind& model_kind(const Settings& settings) {
  const std::string& wanted = settings.text("model.kind");
  for (const ModelKind& kind : model_kinds()) {
    for (const std::string& name : kind.names) {
      if (name == wanted) return kind;
    }
  }
  throw std::logic_error("model.kind passed validation but is not known: " + wanted);
}

const Spec& experiment_spec() {
  static const Spec spec = [] {
    Spec all;
    add_general_keys(all);
    KeySpec kind{
        .path = "model.kind",
        .type = Type::text,
        .doc =
            "What is trained. deep_linear: W = W_L ... W_1; symmetric: W = P P^T, "
            "P = W_k ... W_1, with the gradient of f / 2; asymmetric: W = U V^T; "
            "scalar: W = x.y; rank_one: W = u v^T; teacher: the student of a convolutional "
            "teacher (Du 2019, thesis, chapter 5), on its population loss. Networks on data: "
            "two_layer_relu: f = 1/sqrt(m) sum_r a_r relu(w_r . x), a_r = +-1 fixed; fc: dense "
            "layers; resnet, conv_resnet: residual blocks of one dense or convolutional layer; "
            "cnn: convolutions, then dense layers; network: the list model.layers.",
        .required = true};
    for (const ModelKind& model : model_kinds()) {
      kind.choices.insert(kind.choices.end(), model.names.begin(), model.names.end());
    }
    all.add(kind);
    std::vector<std::string> decaying;
    for (const ModelKind& model : model_kinds()) {
      model.add_keys(all);
      if (model.decays) decaying.insert(decaying.end(), model.names.begin(), model.names.end());
    }
    add_weight_decay_keys(all, std::move(decaying));
    add_optimizer_keys(all);
    add_schedule_keys(all);
    add_stop_keys(all);
    add_probe_keys(all);
    add_record_keys(all);
    // The network, its problem and its probes are the parent's.
    all.let_offshoots_set(
        {"optimizer", "schedule", "stop", "sgd", "objective.l2", "objective.balance_penalty"});
    return all;
  }();
  return spec;
}

std::size_t element_bytes(const Settings& settings) {
  return settings.text("precision") == "f64" ? sizeof(double) : sizeof(float);
}

std::int64_t width_of(const ModelKind& kind, const Settings& settings, const ProbeKind& probe) {
  std::int64_t width = 1;
  for (const std::int64_t extent : kind.extents(settings, probe)) width *= extent;
  return width;
}

std::uint64_t seed_of(const Settings& settings, std::string_view key) {
  return static_cast<std::uint64_t>(
      settings.integer(settings.has(key) ? key : std::string_view("seed")));
}

}  // namespace manyfold
