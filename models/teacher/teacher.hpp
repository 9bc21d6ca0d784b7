// The student of a convolutional teacher as a kind of model (Du 2019, thesis, chapter 5): one
// hidden layer, patches that do not overlap, Gaussian input, trained on the population loss by its
// gradient in closed form (kernels/teacher.hpp). Parameters are v, the filter, then a, the output
// weights.
#pragma once

#include "models/training/model.hpp"

namespace manyfold {

const ModelKind& teacher_kind();

}  // namespace manyfold
