// The curvature of a network's train loss with its weight decay, for models/curvature/.
#pragma once

#include "models/curvature/product.hpp"
#include "models/network/net.hpp"
#include "models/network/net_tangent.hpp"
#include "models/network/objective.hpp"
#include "models/training/weight_decay.hpp"

namespace manyfold::network {

template <class T>
class NetCurvature final : public CurvatureProduct<T> {
 public:
  NetCurvature(Net<T>& net, Objective<T>& objective, const WeightDecay<T>& decay)
      : objective_(objective), decay_(decay), tangent_(net) {}

  void multiply(CurvatureMatrix matrix, VectorBatch<const T> vector,
                VectorBatch<T> product) override {
    objective_.multiply_curvature(tangent_, matrix, vector, product);
    decay_.add_curvature(vector, product);
  }

 private:
  Objective<T>& objective_;
  const WeightDecay<T>& decay_;
  NetTangent<T> tangent_;
};

}  // namespace manyfold::network
