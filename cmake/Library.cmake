# libmanyfold: core, the CPU kernels and the models, one copy for the program, the tests and the
# backend libraries.
file(GLOB_RECURSE manyfold_sources CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/core/*.cpp ${PROJECT_SOURCE_DIR}/models/*.cpp)
file(GLOB manyfold_kernel_sources CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/kernels/resident/*.cpp
     ${PROJECT_SOURCE_DIR}/kernels/*.cpp ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cpp)
file(GLOB manyfold_loop_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/loops/*.cpp)

# The hot loops, once per instruction set (kernels/cpu/loops.hpp says why they stand apart). Results
# must not depend on what the compiler fuses: contraction is written out where it is wanted.
set(manyfold_loops_optimization -O3)
set_source_files_properties(
  ${PROJECT_SOURCE_DIR}/kernels/cpu/patches.cpp ${PROJECT_SOURCE_DIR}/kernels/cpu/symmetric_eigenvalues.cpp
  PROPERTIES COMPILE_OPTIONS -O3)
if(MANYFOLD_SANITIZE)
  set(manyfold_loops_optimization -O1)
  set_source_files_properties(${manyfold_kernel_sources} PROPERTIES COMPILE_OPTIONS -O1 SKIP_PRECOMPILE_HEADERS ON)
endif()
set(manyfold_sanitized_loops avx2)
function(manyfold_loops name)
  add_library(manyfold_loops_${name} OBJECT ${manyfold_loop_sources})
  target_link_libraries(manyfold_loops_${name} PRIVATE manyfold_options)
  target_compile_definitions(manyfold_loops_${name} PRIVATE MF_ISA=${name})
  # GCC 12 takes the undefined operands inside its own AVX-512 intrinsics for ours (GCC bug 105593).
  target_compile_options(manyfold_loops_${name} PRIVATE
    ${manyfold_loops_optimization} -ffp-contract=off -Wno-maybe-uninitialized ${ARGN})
  # The three sets are one source, and instrumented they take a third of a sanitized build: there, only
  # the set that its tests ask for is (tests/CMakeLists.txt). No other object has code of these.
  if(MANYFOLD_SANITIZE AND NOT name STREQUAL manyfold_sanitized_loops)
    target_compile_options(manyfold_loops_${name} PRIVATE -fno-sanitize=all)
  endif()
endfunction()
manyfold_loops(portable)
manyfold_loops(avx2 -mavx2 -mfma)
manyfold_loops(avx512 -mavx512f -mavx512dq -mavx512vl -mavx512bw -mfma -mprefer-vector-width=512)

add_library(manyfold SHARED ${manyfold_sources} ${manyfold_kernel_sources})
add_dependencies(manyfold manyfold_commit)
target_link_libraries(manyfold
  PUBLIC manyfold_options fmt::fmt
  PRIVATE manyfold_loops_portable manyfold_loops_avx2 manyfold_loops_avx512
          OpenMP::OpenMP_CXX PkgConfig::netcdf ZLIB::ZLIB nlohmann_json::nlohmann_json
          ${MANYFOLD_OPENBLAS} ${MANYFOLD_LAPACKE} ${CMAKE_DL_LIBS})
target_include_directories(manyfold SYSTEM PRIVATE
  ${MANYFOLD_CBLAS_INCLUDE} ${MANYFOLD_TOMLPLUSPLUS_INCLUDE} ${MANYFOLD_RANDOM123_INCLUDE})
target_include_directories(manyfold PRIVATE ${PROJECT_BINARY_DIR}/generated)
target_compile_options(manyfold PRIVATE -ffp-contract=off)
manyfold_precompile(manyfold)
target_include_directories(manyfold SYSTEM PUBLIC ${MANYFOLD_RANDOM123_INCLUDE})

# The data that the program ships stands where an installed program looks for it.
configure_file(${PROJECT_SOURCE_DIR}/apps/data/digits.csv.gz
               ${PROJECT_BINARY_DIR}/share/manyfold/digits.csv.gz COPYONLY)
