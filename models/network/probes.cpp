// The registry of probes of networks.
#include "models/network/probes.hpp"

#include <algorithm>
#include <utility>

#include "kernels/add_scaled.hpp"
#include "models/training/optimizer.hpp"
#include "models/training/probes.hpp"

namespace manyfold::network {
namespace {

std::vector<Probe>& registered() {
  static std::vector<Probe> probes;
  return probes;
}

}  // namespace

RegisterProbe::RegisterProbe(Probe probe) {
  auto& all = registered();
  const auto place =
      std::lower_bound(all.begin(), all.end(), probe,
                       [](const Probe& a, const Probe& b) { return a.kind.name < b.kind.name; });
  all.insert(place, std::move(probe));
}

std::span<const Probe> probes() { return registered(); }

std::vector<RequestedProbe> requested_probes(const Settings& settings) {
  std::vector<RequestedProbe> requested;
  for (const std::string& name : settings.children("probes")) {
    const std::string kind = probe_kind_name(settings, name);
    for (const Probe& probe : probes()) {
      if (probe.kind.name == kind) requested.push_back({&probe, name});
    }
  }
  return requested;
}

std::string ProbeSettings::key(std::string_view word) const {
  return "probes." + name + "." + std::string(word);
}

void ProbeSettings::reject(const std::string& found, const std::string& expected) const {
  reject_probe(settings, name, found, expected);
}

Set ProbeSettings::set() const {
  return has("set") && settings.text(key("set")) == "test" ? Set::test : Set::train;
}

std::int64_t ProbeSettings::examples() const { return set() == Set::test ? data.test : data.train; }

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

void validate_test(const ProbeSettings& probe) {
  if (probe.data.test > 0) return;
  probe.reject("a probe of the test examples", "data that have some");
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
  MatrixBatch<const T> w = net.weight(h);
  w.data = view_.data + net.description().weights[static_cast<std::size_t>(h - 1)].offset;
  return w;
}

ObserverBytes start_bytes(const ProbeSettings& probe) {
  const std::int64_t count = probe.description.parameters;
  const bool wide = probe.settings.text("precision") == "f64";
  return {.per_slot = element_bytes(probe, wide ? padded<double>(count) : padded<float>(count)),
          .remembered = element_bytes(probe, count)};
}

template class StartWeights<float>;
template class StartWeights<double>;

std::size_t element_bytes(const ProbeSettings& probe, std::int64_t elements) {
  const bool wide = probe.settings.text("precision") == "f64";
  return static_cast<std::size_t>(elements) * (wide ? sizeof(double) : sizeof(float));
}

}  // namespace manyfold::network
