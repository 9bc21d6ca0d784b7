// The version macro and the handle types of the driver API. No driver function is declared: the
// project calls the runtime API only, so that the program has no link-time dependence on a driver.
#pragma once

#include "driver_types.h"

#define CUDA_VERSION 13000

typedef cudaStream_t CUstream;
typedef cudaEvent_t CUevent;
