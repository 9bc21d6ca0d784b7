# What is under test is sanitized; tests and benchmarks are not. A sanitized build takes their objects
# from an ordinary build of the same tree, MANYFOLD_ORDINARY_BUILD, which halves what it compiles.
#
# manyfold_unsanitized(NAME SOURCE...): objects of sources below the current folder, as an object library
# NAME where the build is ordinary. The variable NAME then holds what an executable lists as sources.
function(manyfold_unsanitized name)
  if(NOT MANYFOLD_SANITIZE)
    add_library(${name} OBJECT ${ARGN})
    if(NOT TARGET unsanitized)
      add_custom_target(unsanitized)
    endif()
    add_dependencies(unsanitized ${name})
    set(${name} $<TARGET_OBJECTS:${name}> PARENT_SCOPE)
    return()
  endif()
  file(RELATIVE_PATH room ${PROJECT_BINARY_DIR} ${CMAKE_CURRENT_BINARY_DIR})
  set(objects "")
  foreach(source IN LISTS ARGN)
    string(REPLACE "${CMAKE_CURRENT_BINARY_DIR}/" "" source "${source}")
    string(REPLACE "${CMAKE_CURRENT_SOURCE_DIR}/" "" source "${source}")
    list(APPEND objects ${MANYFOLD_ORDINARY_BUILD}/${room}/CMakeFiles/${name}.dir/${source}.o)
  endforeach()
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  set_property(GLOBAL APPEND PROPERTY manyfold_ordinary_objects ${objects})
  set(${name} ${objects} PARENT_SCOPE)
endfunction()

# The target `ordinary_objects` of a sanitized build, which brings them up to date; called at last.
function(manyfold_build_ordinary_objects)
  if(NOT EXISTS ${MANYFOLD_ORDINARY_BUILD}/CMakeCache.txt)
    message(FATAL_ERROR "MANYFOLD_ORDINARY_BUILD: found '${MANYFOLD_ORDINARY_BUILD}', expected a build "
                        "without sanitizers and with tests (./mf sanitize makes one)")
  endif()
  get_property(objects GLOBAL PROPERTY manyfold_ordinary_objects)
  add_custom_target(ordinary_objects
    COMMAND ${CMAKE_COMMAND} --build ${MANYFOLD_ORDINARY_BUILD} --target unsanitized
    BYPRODUCTS ${objects} USES_TERMINAL COMMENT "Building the ordinary objects of tests and benchmarks")
endfunction()
