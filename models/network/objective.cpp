// Losses pass by pass.
#include "models/network/objective.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/random/philox.hpp"
#include "kernels/reduce.hpp"

namespace manyfold::network {
namespace {

constexpr std::uint64_t stream_label_noise = random_stream("sgd/label_noise");

/// What the activations and gradients of one slot may take.
constexpr std::int64_t most_bytes = std::int64_t{256} << 20;

std::int64_t batch_of(const Settings& settings) {
  return settings.has("optimizer.batch") ? settings.integer("optimizer.batch") : 0;
}

/// Rows of a pass over `count` examples: as few passes as fit, of like length.
std::int64_t rows_of_pass(std::int64_t count, std::int64_t most) {
  const std::int64_t passes = (count + most - 1) / most;
  return passes == 0 ? 0 : (count + passes - 1) / passes;
}

std::int64_t stride_of_terms(const DataSize& size) {
  return padded<double>(std::max(size.train, size.test));
}

}  // namespace

template <class T>
std::int64_t Objective<T>::rows(const Settings& example, const Description& description) {
  const std::int64_t per_example =
      make_tape(description).elements() * static_cast<std::int64_t>(element_bytes(example));
  const std::int64_t most = example.has("objective.rows")
                                ? example.integer("objective.rows")
                                : std::max<std::int64_t>(1, most_bytes / per_example);
  return std::max(rows_of_pass(data_size(example).train, most),
                  rows_of_pass(batch_of(example), most));
}

template <class T>
Footprint Objective<T>::footprint(const Settings& example, const Description& description,
                                  bool shared_problem) {
  const DataSize size = data_size(example);
  const std::size_t data =
      Examples<T>::bytes(size, size.train) + Examples<T>::bytes(size, size.test);
  const std::int64_t drawn =
      batch_of(example) == 0
          ? 0
          : padded<T>(std::min(rows(example, description), batch_of(example)) * size.input.size());
  Footprint footprint;
  footprint.bytes_per_slot = static_cast<std::size_t>(drawn) * sizeof(T) +
                             static_cast<std::size_t>(stride_of_terms(size)) * sizeof(double) +
                             sizeof(std::int64_t) + (shared_problem ? 0 : data);
  footprint.shared_bytes = shared_problem ? data : 0;
  for (const Layer& layer : description.layers) {
    const auto places = static_cast<double>(layer.places());
    if (layer.has_weight()) {
      const Weight& w = description.weights[static_cast<std::size_t>(layer.weight - 1)];
      // Forward, the weight's gradient, and below the first layer that of the input.
      const int products = 1 + (w.frozen ? 0 : 1) + (layer.weight > 1 ? 1 : 0);
      footprint.flops_per_step += 2 * products * places * static_cast<double>(w.entries());
    } else {
      footprint.flops_per_step += 2 * static_cast<double>(layer.result.size());
    }
  }
  footprint.flops_per_step *= static_cast<double>(size.train);
  return footprint;
}

template <class T>
Objective<T>::Objective(Executor& executor, const Settings& example, Net<T>& net,
                        std::int64_t slots, bool shared_problem)
    : executor_(executor),
      net_(net),
      size_(data_size(example)),
      slots_(slots),
      shared_(shared_problem),
      loss_(loss_of(example)),
      mean_(example.text("objective.reduction") == "mean"),
      batch_(batch_of(example)),
      terms_stride_(stride_of_terms(size_)),
      train_(executor, size_, size_.train, slots, shared_problem,
             net.description().input_is_spatial()),
      test_(executor, size_, size_.test, slots, shared_problem,
            net.description().input_is_spatial()),
      drawn_(executor, batch_ == 0
                           ? 0
                           : slots * padded<T>(std::min(net.rows(), batch_) * size_.input.size())),
      per_example_(executor, slots * terms_stride_),
      terms_(executor, slots) {
  terms_.upload(std::vector<std::int64_t>(static_cast<std::size_t>(slots), size_.train));
}

template <class T>
void Objective<T>::load(std::span<const Settings> members) {
  const std::size_t problems = shared_ ? std::min<std::size_t>(1, members.size()) : members.size();
  for (std::size_t i = 0; i < problems; ++i) {
    const std::shared_ptr<const Data> data = data_of(members[i]);
    train_.load(static_cast<std::int64_t>(i), data->train);
    test_.load(static_cast<std::int64_t>(i), data->test);
  }
  shown_.reset();
}

template <class T>
void Objective<T>::slopes(const Rows& rows) {
  kernels::ExampleTermsArgs<T> args{.f = net_.output(),
                                    .scale = net_.output_scale(),
                                    .loss = loss_,
                                    .targets = train_.targets(),
                                    .labels = train_.labels(),
                                    .first = rows.first,
                                    .weight = rows.weight,
                                    .out = rows.losses,
                                    .out_stride = terms_stride_,
                                    .slope = net_.output_slope()};
  if (rows.what != nullptr) {
    if (rows.what->terms != nullptr) {
      args.rows = rows.what->terms + rows.first;
      args.rows_stride = rows.what->batch;
    }
    args.noise = rows.what->label_noise;
    args.seeds = rows.what->seeds;
    args.step = rows.control->step;
    args.stream = stream_label_noise;
  }
  kernels::example_terms<T>(executor_, args);
}

template <class T>
void Objective<T>::gradient(double* loss) {
  double* losses = loss == nullptr ? nullptr : per_example_.data();
  const double weight = weight_of(size_.train);
  shown_.reset();  // the weights are others now
  each_pass(Set::train, [&](std::int64_t first, std::int64_t count) {
    slopes({first, count, losses == nullptr ? nullptr : losses + first, weight, nullptr, nullptr});
    net_.backward(first > 0);
  });
  if (loss != nullptr) sum(losses, size_.train, terms_stride_, loss);
}

template <class T>
void Objective<T>::stochastic_gradient(const kernels::StepControl& control,
                                       const StochasticGradient& what) {
  shown_.reset();
  double weight = weight_of(size_.train);
  if (what.terms == nullptr) {
    each_pass(Set::train, [&](std::int64_t first, std::int64_t count) {
      slopes({first, count, nullptr, weight, &what, &control});
      net_.backward(first > 0);
    });
    return;
  }
  if (what.batch > batch_) throw std::logic_error("a larger batch than optimizer.batch");
  weight *= static_cast<double>(size_.train) / static_cast<double>(what.batch);
  const std::int64_t features = size_.input.size();
  const std::int64_t room = std::min(net_.rows(), batch_);
  for (std::int64_t first = 0; first < what.batch; first += room) {
    const std::int64_t count = std::min(room, what.batch - first);
    const MatrixBatch<T> x{drawn_.data(), slots_, count, features, padded<T>(room * features),
                           features};
    kernels::gather_rows<T>(executor_, {train_.inputs(), what.terms + first, what.batch, x});
    net_.forward(x);
    slopes({first, count, nullptr, weight, &what, &control});
    net_.backward(first > 0);
  }
}

template <class T>
void Objective<T>::show(Set set, std::int64_t first, std::int64_t count) {
  const Examples<T>& examples = this->examples(set);
  const bool whole = count == examples.count();
  if (!whole || shown_ != set) net_.forward(examples.inputs(first, count));
  shown_ = whole ? std::optional(set) : std::nullopt;
}

template <class T>
void Objective<T>::multiply_curvature(NetTangent<T>& tangent, CurvatureMatrix matrix,
                                      VectorBatch<const T> vector, VectorBatch<T> product) {
  const double weight = weight_of(size_.train);
  each_pass(Set::train, [&](std::int64_t first, std::int64_t count) {
    tangent.forward(vector);
    kernels::example_curvature<T>(executor_, {.f = net_.output(),
                                              .scale = net_.output_scale(),
                                              .loss = loss_,
                                              .weight = weight,
                                              .tangent = tangent.output(),
                                              .slope = tangent.output_slope()});
    if (matrix == CurvatureMatrix::hessian) {
      slopes({first, count, nullptr, weight, nullptr, nullptr});
    }
    tangent.backward(matrix, product, first > 0);
  });
}

template <class T>
void Objective<T>::each_pass(Set set, const std::function<void(std::int64_t, std::int64_t)>& see) {
  const Examples<T>& examples = this->examples(set);
  const std::int64_t rows = rows_of_pass(examples.count(), net_.rows());
  for (std::int64_t first = 0; first < examples.count(); first += rows) {
    const std::int64_t count = std::min(rows, examples.count() - first);
    show(set, first, count);
    see(first, count);
  }
}

template <class T>
const double* Objective<T>::example_terms(Set set, kernels::ExampleTerm term) {
  const Examples<T>& examples = this->examples(set);
  const double weight = weight_of(examples.count());
  each_pass(set, [&](std::int64_t first, std::int64_t) {
    kernels::example_terms<T>(executor_, {.f = net_.output(),
                                          .scale = net_.output_scale(),
                                          .loss = loss_,
                                          .term = term,
                                          .targets = examples.targets(),
                                          .labels = examples.labels(),
                                          .first = first,
                                          .weight = weight,
                                          .out = per_example_.data() + first,
                                          .out_stride = terms_stride_,
                                          .slope = {}});
  });
  return per_example_.data();
}

template <class T>
void Objective<T>::sum(const double* x, std::int64_t count, std::int64_t stride, double* out,
                       std::int64_t out_stride) const {
  kernels::reduce(executor_, {.slots = slots_,
                              .count = count,
                              .x = x,
                              .x_stride = stride,
                              .out = out,
                              .out_stride = out_stride});
}

template class Objective<float>;
template class Objective<double>;

}  // namespace manyfold::network
