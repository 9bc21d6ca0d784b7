// What a member takes along when it branches off, or is gone on with in a later run: parameters,
// what its optimizer and its probes remember, and where it stands, as named arrays of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace manyfold {

struct SlotState {
  struct Array {
    std::string name;
    std::vector<std::byte> bytes;
  };

  std::int64_t step = 0;  ///< updates done
  std::vector<Array> arrays{};

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Array& array : arrays) sum += array.bytes.size();
    return sum;
  }
};

}  // namespace manyfold
