// The registry of probes, and what several of them share.
#include "models/factorization/probes.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "kernels/combine.hpp"
#include "kernels/singular_values.hpp"

namespace manyfold::factorization {
namespace {

std::vector<Probe>& registered() {
  static std::vector<Probe> probes;
  return probes;
}

std::int64_t smaller_side(const Shape& shape) { return std::min(shape.rows(), shape.cols()); }

}  // namespace

RegisterProbe::RegisterProbe(Probe probe) {
  auto& all = registered();
  const auto place =
      std::lower_bound(all.begin(), all.end(), probe,
                       [](const Probe& a, const Probe& b) { return a.kind.name < b.kind.name; });
  all.insert(place, std::move(probe));
}

std::span<const Probe> probes() { return registered(); }

const Probe& probe_named(const std::string& name) {
  for (const Probe& probe : probes()) {
    if (probe.kind.name == name) return probe;
  }
  throw std::logic_error("not a probe of a factorization: " + name);
}

std::vector<const Probe*> requested_probes(const Settings& settings) {
  std::vector<const Probe*> requested;
  for (const std::string& name : settings.children("probes")) {
    for (const Probe& probe : probes()) {
      if (probe.kind.name == name) requested.push_back(&probe);
    }
  }
  return requested;
}

std::string probe_place(const Settings& settings, const std::string& probe) {
  const std::string table = "probes." + probe;
  for (const char* key : {".every", ".steps", ".running", ".first_below", ".first_above"}) {
    if (settings.has(table + key)) return table + key;
  }
  return table;
}

template <class T>
Scene<T>::Scene(Executor& executor, const Chain<T>& chain, const Objective<T>& objective,
                bool singular_values)
    : executor_(executor), chain_(chain), objective_(objective) {
  if (!singular_values) return;
  const Shape& s = chain.shape();
  spectrum_ = Buffer<double>(executor, slots() * smaller_side(s));
  spectrum_workspace_ =
      Buffer<double>(executor, slots() * kernels::singular_values_workspace(s.rows(), s.cols()));
  sweeps_ = Buffer<std::int32_t>(executor, slots());
}

template <class T>
std::size_t Scene<T>::bytes_per_slot(const Shape& shape, bool singular_values) {
  if (!singular_values) return 0;
  const auto doubles = static_cast<std::size_t>(
      smaller_side(shape) + kernels::singular_values_workspace(shape.rows(), shape.cols()));
  return doubles * sizeof(double) + sizeof(std::int32_t);
}

template <class T>
std::int64_t Scene<T>::rank_limit() const {
  return smaller_side(shape());
}

template <class T>
const double* Scene<T>::singular_values() {
  if (!spectrum_is_fresh_) {
    kernels::singular_values<T>(executor_, {.a = chain_.end(),
                                            .values = spectrum_.data(),
                                            .values_count = rank_limit(),
                                            .values_stride = rank_limit(),
                                            .sweeps = sweeps_.data(),
                                            .workspace = spectrum_workspace_.data()});
    spectrum_is_fresh_ = true;
  }
  return spectrum_.data();
}

template <class T>
void Scene<T>::root(std::int64_t count, double* x, std::int64_t stride) const {
  kernels::combine(executor_, {.slots = slots(),
                               .count = count,
                               .square_root = true,
                               .numerator = x,
                               .numerator_stride = stride,
                               .out = x,
                               .out_stride = stride});
}

template class Scene<float>;
template class Scene<double>;

}  // namespace manyfold::factorization
