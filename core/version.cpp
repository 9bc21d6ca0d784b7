// The build writes version.inc.
#include "core/version.hpp"

#include "version.inc"

namespace manyfold {

std::string_view version() { return MANYFOLD_VERSION; }
std::string_view commit() { return MANYFOLD_COMMIT; }

}  // namespace manyfold
