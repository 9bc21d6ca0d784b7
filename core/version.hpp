// Which program this is.
#pragma once

#include <string_view>

namespace manyfold {

std::string_view version();
/// Short commit, with "+changes" when the tree that was built differed from it.
std::string_view commit();

}  // namespace manyfold
