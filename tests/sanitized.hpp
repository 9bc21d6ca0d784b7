// Whether what is under test is sanitized. Tests themselves never are (cmake/Unsanitized.cmake), so
// no macro tells.
#pragma once

#include <dlfcn.h>

namespace manyfold::test {

inline bool is_sanitized() {
  return dlsym(RTLD_DEFAULT, "__asan_init") != nullptr ||
         dlsym(RTLD_DEFAULT, "__tsan_init") != nullptr;
}

}  // namespace manyfold::test
