// The ends of the spectrum of a curvature matrix, for all slots of a family at once: Lanczos'
// method with full reorthogonalization on products that the model gives (product.hpp).
//
// Each slot has a start vector of its own, which its member's seed draws, and a tridiagonal matrix
// of its own; a slot whose vectors span an invariant space ends early. All that depends on numbers
// is decided on the device, so that looks are recorded like everything else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/config/settings.hpp"
#include "core/executor/executor.hpp"
#include "core/executor/memory.hpp"
#include "kernels/work_slots.hpp"
#include "models/curvature/product.hpp"
#include "models/training/model.hpp"

namespace manyfold {

/// What is asked for: which matrix, and so many Lanczos steps (at most as many as parameters).
struct CurvatureRequest {
  CurvatureMatrix matrix = CurvatureMatrix::hessian;
  std::int64_t steps = 0;
  bool operator==(const CurvatureRequest&) const = default;
};

template <class T>
class CurvatureEnds {
 public:
  /// `requests`: everything that will be asked for. `parameters`: of every slot, where they stand.
  CurvatureEnds(Executor& executor, VectorBatch<const T> parameters,
                std::vector<CurvatureRequest> requests,
                std::unique_ptr<CurvatureProduct<T>> product, kernels::WorkSlots& work);

  /// What the constructor allocates for each slot beside the product, and what of it is work.
  static std::size_t bytes_per_slot(std::int64_t parameters,
                                    const std::vector<CurvatureRequest>& requests);
  static std::size_t work_bytes(std::int64_t parameters,
                                const std::vector<CurvatureRequest>& requests);

  /// The members' seeds.
  void load(std::span<const Settings> members);
  /// Told by the model when it evaluates: what was computed before is stale.
  void evaluated();

  /// (slot, 4): the least eigenvalue that was found and its bound, the largest and its bound
  /// (kernels/lanczos.hpp, ritz_ends); NaN where a parameter or a product is not finite. Slots 4
  /// apart. Computed where it is asked for first after an evaluation. Kernels only.
  const double* ends(const CurvatureRequest& request);

  /// Whose ends these are.
  CurvatureProduct<T>& product() { return *product_; }

 private:
  void compute(const CurvatureRequest& request, double* out);
  /// The first `count` vectors of every slot as rows.
  MatrixBatch<T> vectors(std::int64_t count) const;
  VectorBatch<T> vector(std::int64_t number) const;

  Executor& executor_;
  VectorBatch<const T> parameters_;
  std::vector<CurvatureRequest> requests_;
  std::unique_ptr<CurvatureProduct<T>> product_;
  std::int64_t steps_;  ///< the most that are asked for
  std::vector<bool> fresh_;
  Buffer<std::uint64_t> seeds_;
  Buffer<double> ones_;   ///< standard deviations of the start vectors
  Buffer<T> vectors_;     ///< (slot, steps + 1, parameter)
  Buffer<double> table_;  ///< projections, alpha, beta and scratch of a slot
  Buffer<double> norm2_;
  Buffer<double> scale_;
  Buffer<std::int32_t> length_;
  Buffer<std::int32_t> ended_;
  std::vector<Buffer<double>> results_;  ///< of each request
};

}  // namespace manyfold
