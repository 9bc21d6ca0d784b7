# The commit that was built, for records; asked at every build, written only when it changes.
find_package(Git QUIET)
add_custom_target(manyfold_commit ALL
  COMMAND ${CMAKE_COMMAND} -DGIT=${GIT_EXECUTABLE} -DSOURCE=${PROJECT_SOURCE_DIR}
          -DVERSION=${PROJECT_VERSION} -DOUTPUT=${PROJECT_BINARY_DIR}/generated/version.inc
          -P ${PROJECT_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/version.inc
  COMMENT "Asking which commit this is")
