// Random orthonormal frames.
#pragma once

#include <cstdint>
#include <vector>

namespace manyfold::factorization {

/// `rows` x `cols` (rows >= cols), row-major, orthonormal columns, Haar-distributed: the Q of a
/// Gaussian matrix whose R has a positive diagonal (Mezzadri 2007). Entries of the Gaussian are
/// draws 0, 1, ... of (seed, stream).
std::vector<double> haar_frame(std::int64_t rows, std::int64_t cols, std::uint64_t seed,
                               std::uint64_t stream);

}  // namespace manyfold::factorization
