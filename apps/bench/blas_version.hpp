// Which BLAS and LAPACK benchmarks have as rivals in this process.
#pragma once

#include <cstddef>
#include <string>

extern "C" char* openblas_get_config();  // no header declares it

namespace manyfold::apps {

/// "OpenBLAS 0.3.21", of "OpenBLAS 0.3.21 DYNAMIC_ARCH ...".
inline std::string blas_version() {
  const std::string text = openblas_get_config();
  return text.substr(0, text.find(' ', text.find(' ') + 1));
}

}  // namespace manyfold::apps
