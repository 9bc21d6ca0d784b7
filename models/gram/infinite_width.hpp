// Kernels of networks whose width goes to infinity, as their weights are drawn: Gram matrices of
// Du 2019 (thesis), chapters 2 and 3, the full tangent kernel, and the covariance of the outputs.
//
// With x^(h) the output of layer h (a vector, or of a convolution one at every place l), the limits
//   K^(h)_ij = <x_i^(h), x_j^(h)>,  b_i^(h) = mean of sqrt(m) x_i^(h)
// follow from layer to layer (def. 3.4), from expectations over pairs of Gaussians of covariance
// K^(h-1), or of its sums over patches (models/gram/dual_activation.hpp). Derivatives follow with
// them: T^(h)_ij, the sum over layers up to h of <dx_i^(h)/dW, dx_j^(h)/dW>, is
//   c_s E[s'(u) s'(v)] (T^(h-1) + K^(h-1))_ij        after x^(h) = sqrt(c_s/m) s(W x^(h-1)),
//   that with (c_res/H)^2 for c_s, plus T^(h-1)_ij   after a residual block.
// An output that shares no weights between places sees every place with itself alone, at this layer
// and, as patches move both places alike, at all before it: of the p x p blocks of def. 3.3 only
// diagonals are needed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/activation.hpp"
#include "kernels/patches.hpp"

namespace manyfold::gram {

/// Those of models/network/description.hpp.
enum class NetworkKind {
  fc,          ///< eq. 3.2, def. 3.1
  resnet,      ///< eq. 3.3, def. 3.2
  conv_resnet  ///< def. 3.3
};
enum class Parametrization {
  thesis,  ///< s(W x) times sqrt(c_s/m), in blocks c_res/(H sqrt(m)); the output a . x^(H)
  ntk      ///< W x times 1/sqrt(fan in), the output's too; blocks x + c_res s(W x)
};

/// A network of one output and no biases, every weight drawn from N(0, 1).
struct Architecture {
  NetworkKind kind = NetworkKind::fc;
  kernels::Activation activation = kernels::Activation::relu;
  double slope = 0;        ///< of leaky_relu
  std::int64_t depth = 1;  ///< H: layers before the output
  double c_res = 0.5;      ///< of residual networks
  Parametrization parametrization = Parametrization::thesis;
  /// Of a conv_resnet, of every layer: it has as many places as the input; channels are the
  /// input's.
  kernels::Window window = {};
};

/// Symmetric matrices (example, example), row-major.
struct InfiniteWidthKernels {
  std::vector<double> nngp;        ///< covariance of the outputs; the limit of G^(H+1)
  std::vector<double> tangent;     ///< the limit of G: over all layers, the output's included
  std::vector<double> last_layer;  ///< the thesis's K^(H): the limit of G^(H)
};

/// inputs: row-major (example, entry), of a conv_resnet (example, channel, place), place
/// y * width + x. Rows of the matrices are shared out among `threads`; results do not depend on how
/// many. Memory: the three matrices, the inputs once more, and 4 H places numbers an example.
///
/// Time: n^2/2 pairs times H places moments of dual_activation.hpp, some 0.2 us each in closed
/// form, 0.1 to 0.4 ms by quadrature at variance 1.
///
/// Accuracy: entries to a few roundings a layer. Where s is homogeneous, parallel inputs give
/// parallel rows, whatever their lengths. Behind the first layer of a conv_resnet, where patches
/// with relu are parallel and their lengths differ, half the digits of the angle between them are
/// lost: last_layer had relative errors of 3e-9 there, tangent of 4e-11.
///
/// Throws InputError: no layers; inputs that are not finite, not `examples` of one size, or do not
/// fit the window; a window that does not keep the number of places; by quadrature, variances above
/// 1e4.
InfiniteWidthKernels infinite_width_kernels(const Architecture& architecture,
                                            std::span<const double> inputs, std::int64_t examples,
                                            int threads);

/// b^(h)_i at every place: (layer 1..H, example, place), row-major. Inputs and errors as above.
std::vector<double> layer_means(const Architecture& architecture, std::span<const double> inputs,
                                std::int64_t examples);

/// Hinf_ij = x_i . x_j P(w . x_i > 0, w . x_j > 0), w ~ N(0, I), of two_layer_relu:
/// x_i . x_j (pi - angle_ij) / (2 pi), angle_ij that between x_i and x_j, which for unit vectors is
/// arccos(x_i . x_j) and here keeps its accuracy near 0. inputs, result and errors as above.
std::vector<double> two_layer_relu_kernel(std::span<const double> inputs, std::int64_t examples,
                                          int threads);

}  // namespace manyfold::gram
