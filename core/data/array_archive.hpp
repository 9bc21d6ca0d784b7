// Several named arrays in one file, as PyTorch, JAX and NumPy exchange a net's parameters: .npz and
// .safetensors.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/data/array_file.hpp"

namespace manyfold {

struct NamedArray {
  std::string name;  ///< "W_1"
  Array array;
};

/// Whether a file's ending says that it is an archive.
bool is_archive(const std::filesystem::path& file);

/// Every array of an archive, in its order. .npz: entries stored or deflated, each a .npy.
/// .safetensors: F64, F32, F16, BF16, I8 ... I64, U8, BOOL. Throws what read_array does, with the
/// array's name in the message.
std::vector<NamedArray> read_arrays(const std::filesystem::path& file);

/// As doubles, or in single precision, in the order given; reading gives the same values back. The
/// file appears whole or not at all. Throws what write_array does.
void write_arrays(const std::filesystem::path& file, const std::vector<NamedArray>& arrays,
                  bool single = false);

}  // namespace manyfold
