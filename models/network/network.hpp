// Networks as a kind of model: wide ReLU nets, deep fully connected nets, convolutional and
// residual nets, or a list of layers (description.hpp), trained on data by backpropagation.
#pragma once

#include "models/training/model.hpp"

namespace manyfold {

const ModelKind& network_kind();

}  // namespace manyfold
