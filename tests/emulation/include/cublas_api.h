// CUDA keeps the declarations here and the names without suffix in cublas_v2.h; one header has
// both.
#pragma once

#include "cublas_v2.h"
