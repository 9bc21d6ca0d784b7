// Deep linear nets and matrix factorizations (Du, Hu, Lee 2018; Li, Luo, Lyu 2021):
//   deep_linear  f(W_L ... W_1),              dW_h = (W_L ... W_{h+1})^T G (W_{h-1} ... W_1)^T
//   asymmetric   f(U V^T),                    dU = G V, dV = G^T U   (rank_one: r = 1)
//   scalar       f(x.y)                       dx = g y, dy = g x
//   symmetric    1/2 f(P P^T), P = W_k ... W_1, dP = (G + G^T)/2 P, and from dP as above
// with G = grad f(W) of the objectives in objective.hpp, and the penalties of penalty.hpp. The
// symmetric model descends half of everything, penalties included, while its train loss is the
// whole: grad_norm is the norm of that half.
#pragma once

#include "models/training/model.hpp"

namespace manyfold {

const ModelKind& factorization_kind();

}  // namespace manyfold
