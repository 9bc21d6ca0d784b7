# libmanyfold_cuda: the CUDA backend, a library that the program loads when a GPU is asked for. Built
# where a toolkit is found; MANYFOLD_CUDA=ON makes a missing toolkit an error.
file(GLOB manyfold_cuda_sources CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/core/executor/cuda/*.cu ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)

if(MANYFOLD_CUDA STREQUAL "OFF")
  message(STATUS "CUDA backend: off")
  return()
endif()

include(CheckLanguage)
if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
  set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
endif()
set(CMAKE_CUDA_ARCHITECTURES ${MANYFOLD_CUDA_ARCHITECTURES})
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(MANYFOLD_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MANYFOLD_CUDA=ON, but no CUDA compiler was found: install the CUDA toolkit "
                        "(12.6 or newer), put nvcc on PATH, or set MANYFOLD_CUDA=OFF")
  endif()
  message(STATUS "CUDA backend: no toolkit found, not built")
  return()
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12.6 REQUIRED)

add_library(manyfold_cuda SHARED ${manyfold_cuda_sources})
# The language standard goes as a flag: Debian 12's CMake does not know that nvcc 13 has C++20.
set_target_properties(manyfold_cuda PROPERTIES CUDA_STANDARD_REQUIRED OFF
                      CUDA_ARCHITECTURES "${MANYFOLD_CUDA_ARCHITECTURES}")
target_include_directories(manyfold_cuda PRIVATE ${PROJECT_SOURCE_DIR})
target_include_directories(manyfold_cuda SYSTEM PRIVATE ${MANYFOLD_RANDOM123_INCLUDE})
# No contraction: random numbers must have the bits that the CPU gives them; kernels that want fused
# arithmetic write it. -lineinfo lets profilers name source lines at no cost.
target_compile_options(manyfold_cuda PRIVATE
  -std=c++20 --extended-lambda --fmad=false -lineinfo -Werror=all-warnings
  -Xcompiler=-Wall,-Wextra,-Wconversion,-Wshadow)
target_link_libraries(manyfold_cuda PRIVATE manyfold CUDA::cudart CUDA::cublas CUDA::cusolver)
message(STATUS "CUDA backend: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${MANYFOLD_CUDA_ARCHITECTURES}")
