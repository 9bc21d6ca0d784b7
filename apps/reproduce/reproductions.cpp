// The list of all reproductions.
#include "apps/reproduce/reproduction.hpp"

namespace manyfold::apps {

std::span<const Reproduction> reproductions() {
  static const std::vector<Reproduction> all = overparam_reproductions();
  return all;
}

}  // namespace manyfold::apps
