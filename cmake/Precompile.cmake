# Sanitized builds read the headers that most sources include once a target. The other builds do not:
# they see to it that every source includes what it uses.
function(manyfold_precompile target)
  if(MANYFOLD_SANITIZE)
    target_precompile_headers(${target} PRIVATE
      <algorithm> <array> <cmath> <cstdint> <filesystem> <fstream> <functional> <limits> <map> <memory>
      <numeric> <optional> <set> <span> <stdexcept> <string> <string_view> <utility> <vector>
      <fmt/format.h> ${ARGN})
  endif()
endfunction()
