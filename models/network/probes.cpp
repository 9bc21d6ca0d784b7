// The registry of probes of networks.
#include "models/network/probes.hpp"

#include "kernels/add_scaled.hpp"
#include "models/training/optimizer.hpp"
#include "models/training/probes.hpp"

namespace manyfold::network {
Set ProbeSettings::set() const {
  return has("set") && settings.text(key("set")) == "test" ? Set::test : Set::train;
}

std::int64_t ProbeSettings::examples() const { return set() == Set::test ? data.test : data.train; }

GramRequest ProbeSettings::grams(bool layers) const {
  return {set(), has("examples") ? integer("examples") : examples(), layers};
}

std::vector<GramRequest> gram_requests(const Settings& settings, const Description& description,
                                       const DataSize& data) {
  std::vector<GramRequest> requests;
  for (const auto& [probe, name] : Probes::requested(settings)) {
    if (!probe->needs.grams) continue;
    add_request(requests,
                ProbeSettings{{settings, name}, description, data}.grams(probe->needs.layer_grams));
  }
  return requests;
}

std::vector<std::int64_t> trained_weights(const Description& description) {
  std::vector<std::int64_t> trained;
  for (std::size_t h = 0; h < description.weights.size(); ++h) {
    if (!description.weights[h].frozen) trained.push_back(static_cast<std::int64_t>(h) + 1);
  }
  return trained;
}

std::vector<std::int64_t> each_layer(const ProbeSettings& probe) {
  return {static_cast<std::int64_t>(trained_weights(probe.description).size())};
}

std::vector<std::int64_t> each_pair(const ProbeSettings& probe) {
  return {each_layer(probe).front() - 1};
}

void validate_pairs(const ProbeSettings& probe) {
  if (each_layer(probe).front() >= 2) return;
  probe.reject("a probe of neighbouring layers of " + probe.description.text(),
               "a network with at least two trained weights");
}

std::int64_t parameter_count(const ProbeSettings& probe) { return probe.description.parameters; }

void validate_test(const ProbeSettings& probe) {
  if (probe.data.test > 0) return;
  probe.reject("a probe of the test examples", "data that have some");
}

std::int64_t hidden_neurons(const ProbeSettings& probe) {
  const std::vector<Weight>& weights = probe.description.weights;
  std::int64_t count = 0;
  for (std::size_t h = 0; h + 1 < weights.size(); ++h) count += weights[h].rows;
  return count;
}

template <class T>
std::vector<MatrixBatch<const T>> Scene<T>::weights() const {
  std::vector<MatrixBatch<const T>> all;
  for (const std::int64_t h : trained_weights(description())) all.push_back(net.free_weight(h));
  return all;
}

/// The columns of the layer above that read a channel stand side by side in rows of as many
/// channels, one for each output and each tap or place: channels are last wherever they are.
template <class T>
std::vector<Neighbours<T>> Scene<T>::neighbours() const {
  net.spread();
  std::vector<Neighbours<T>> all;
  for (std::size_t h = 1; h < description().weights.size(); ++h) {
    const MatrixBatch<const T> below = net.weight(static_cast<std::int64_t>(h));
    const MatrixBatch<const T> above = net.weight(static_cast<std::int64_t>(h) + 1);
    const std::int64_t channels = below.rows;
    all.push_back({below,
                   {above.data, above.slots, above.size() / channels, channels, above.slot_stride,
                    channels}});
  }
  return all;
}

template <class T>
StartWeights<T>::StartWeights(Executor& executor, const Description& description,
                              std::int64_t slots)
    : values_(executor, slots * padded<T>(description.parameters)),
      view_{values_.data(), slots, description.parameters, padded<T>(description.parameters)} {}

template <class T>
void StartWeights<T>::load(const Net<T>& net) const {
  kernels::add_scaled<T>(net.executor(), {.x = net.parameters().values, .add = false, .y = view_});
}

template <class T>
std::vector<StateArray> StartWeights<T>::state() const {
  return {vector_state("start", view_)};
}

template <class T>
MatrixBatch<const T> StartWeights<T>::weight(const Net<T>& net, std::int64_t h) const {
  MatrixBatch<const T> w = net.free_weight(h);
  w.data = view_.data + net.description().weights[static_cast<std::size_t>(h - 1)].offset;
  return w;
}

ObserverBytes start_bytes(const ProbeSettings& probe) {
  const std::int64_t count = probe.description.parameters;
  return {.per_slot = padded_bytes(probe, count), .remembered = element_bytes(probe, count)};
}

template struct Scene<float>;
template struct Scene<double>;
template class StartWeights<float>;
template class StartWeights<double>;

}  // namespace manyfold::network

template class manyfold::ProbeRegistry<manyfold::network::Observed>;
