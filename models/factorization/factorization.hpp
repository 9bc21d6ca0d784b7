// Deep linear nets and matrix factorizations (Du, Hu, Lee 2018; Li, Luo, Lyu 2021):
//   deep_linear  f(W_L ... W_1),              dW_h = (W_L ... W_{h+1})^T G (W_{h-1} ... W_1)^T
//   symmetric    1/2 f(P P^T), P = W_k ... W_1, dP = (G + G^T)/2 P, and from dP as above
// with f(W) = 1/2 sum over the observed entries of (W - M)^2 and G = grad f(W).
#pragma once

#include "models/training/model.hpp"

namespace manyfold {

const ModelKind& factorization_kind();

}  // namespace manyfold
