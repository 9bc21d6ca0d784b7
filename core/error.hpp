// The three ways a run can fail, one type each, because each has its own exit code: what the user
// wrote is wrong (2), the machine lacks something (3), or a device call failed (3). A member that
// diverges is none of these: it is a result.
#pragma once

#include <stdexcept>
#include <string>

namespace manyfold {

/// The input is wrong: an experiment file, a flag, a path. `what()` names the file, line, key, what
/// was found and what was expected. Exit code 2.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A device or resource is missing or ran out (memory, disk, a GPU that is not there). Exit code 3.
class ResourceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A call into a device's runtime or library failed. Exit code 3.
class DeviceError : public ResourceError {
 public:
  using ResourceError::ResourceError;
};

}  // namespace manyfold
