# Warnings are errors; sanitizers apply to everything that is compiled (not to what Unsanitized.cmake
# takes from elsewhere).
add_library(manyfold_options INTERFACE)
target_compile_options(manyfold_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror>)
# GCC 12 sees overlaps in std::string's operator+ that cannot happen (GCC bug 105329).
target_compile_options(manyfold_options INTERFACE
  $<$<AND:$<COMPILE_LANG_AND_ID:CXX,GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
target_include_directories(manyfold_options INTERFACE ${PROJECT_SOURCE_DIR})
if(MANYFOLD_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${MANYFOLD_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  # Libraries use their own copies of inline functions: those of the tests' objects are not sanitized.
  add_link_options(-fsanitize=${MANYFOLD_SANITIZE} -Wl,-Bsymbolic-functions)
endif()
