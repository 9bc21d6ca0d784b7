# Everything comes from Debian; nothing is fetched. A missing package is named as Debian names it.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(netcdf REQUIRED IMPORTED_TARGET netcdf)

# The OpenMP build of OpenBLAS, by name: the reference BLAS is many times slower, and the alternatives
# system may point libblas.so at it.
find_library(MANYFOLD_OPENBLAS NAMES openblas PATH_SUFFIXES openblas-openmp REQUIRED)
find_path(MANYFOLD_CBLAS_INCLUDE cblas.h PATH_SUFFIXES x86_64-linux-gnu/openblas-openmp openblas-openmp REQUIRED)
find_library(MANYFOLD_LAPACKE NAMES lapacke REQUIRED)
find_path(MANYFOLD_TOMLPLUSPLUS_INCLUDE toml++/toml.h REQUIRED)
find_path(MANYFOLD_RANDOM123_INCLUDE Random123/philox.h REQUIRED)
