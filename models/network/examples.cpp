// Uploads data sets.
#include "models/network/examples.hpp"

namespace manyfold::network {

template <class T>
std::size_t Examples<T>::bytes(const DataSize& size, std::int64_t count) {
  const std::int64_t per_example = size.input.size() + (size.targets ? size.outputs : 0);
  return static_cast<std::size_t>(count * per_example) * sizeof(T) +
         (size.classes > 0 ? static_cast<std::size_t>(count) * sizeof(std::int32_t) : 0);
}

template <class T>
Examples<T>::Examples(Executor& executor, const DataSize& size, std::int64_t count,
                      std::int64_t slots, bool shared, bool channel_last)
    : shape_(size.input),
      outputs_(size.outputs),
      count_(count),
      slots_(slots),
      shared_(shared),
      channel_last_(channel_last) {
  const std::int64_t copies = (shared ? 1 : slots) * count;
  inputs_ = Buffer<T>(executor, copies * shape_.size());
  targets_ = Buffer<T>(executor, size.targets ? copies * outputs_ : 0);
  labels_ = Buffer<std::int32_t>(executor, size.classes > 0 ? copies : 0);
  // Slots without a member compute too: on anything finite.
  inputs_.clear();
  targets_.clear();
  labels_.clear();
}

template <class T>
void Examples<T>::load(std::int64_t slot, const DataSet& set) {
  std::vector<T> inputs(set.inputs.begin(), set.inputs.end());
  if (channel_last_ && shape_.dimensions > 0 && shape_.channels > 1) {
    const std::int64_t places = shape_.height * shape_.width;
    std::size_t at = 0;
    for (std::int64_t e = 0; e < count_; ++e) {
      for (std::int64_t place = 0; place < places; ++place) {
        for (std::int64_t channel = 0; channel < shape_.channels; ++channel) {
          const std::int64_t from = e * shape_.size() + channel * places + place;
          inputs[at++] = static_cast<T>(set.inputs[static_cast<std::size_t>(from)]);
        }
      }
    }
  }
  if (count_ == 0) return;
  inputs_.upload(inputs, slot * count_ * shape_.size());
  if (targets_.size() > 0) {
    targets_.upload(std::vector<T>(set.targets.begin(), set.targets.end()),
                    slot * count_ * outputs_);
  }
  if (labels_.size() > 0) labels_.upload(set.labels, slot * count_);
}

template <class T>
MatrixBatch<const T> Examples<T>::inputs(std::int64_t first, std::int64_t count) const {
  const std::int64_t features = shape_.size();
  return {inputs_.data() + first * features, slots_,  count, features,
          shared_ ? 0 : count_ * features,   features};
}

template <class T>
MatrixBatch<const T> Examples<T>::targets() const {
  return {targets_.data(), slots_, count_, outputs_, shared_ ? 0 : count_ * outputs_, outputs_};
}

template <class T>
VectorBatch<const std::int32_t> Examples<T>::labels() const {
  return {labels_.data(), slots_, count_, shared_ ? 0 : count_};
}

template class Examples<float>;
template class Examples<double>;

}  // namespace manyfold::network
