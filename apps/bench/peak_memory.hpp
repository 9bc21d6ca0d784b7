// The most memory that this process had, from a moment on.
#pragma once

#include <optional>

namespace manyfold::apps {

/// Begins where the process is now: its resident set, all of it, program and libraries included.
class PeakMemory {
 public:
  PeakMemory();
  /// The largest resident set since; nothing where the system does not say.
  std::optional<double> bytes() const;
};

}  // namespace manyfold::apps
