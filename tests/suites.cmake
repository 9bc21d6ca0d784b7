# ctest reads this file for each program of the tests (suite_of_program in CMakeLists.txt): one test
# for each suite, and for each device of suites that run once per device, instead of one for each
# case. A process start costs 0.2 s, most of it for cuBLAS and cuSOLVER or for the sanitizers, which
# is more than most of the cases take. Needs `program`, `environment` and `left_out`: patterns of cases,
# as --gtest_filter takes them.
get_filename_component(name "${program}" NAME)
if(NOT EXISTS "${program}")
  add_test(${name}_NOT_BUILT ${name}_NOT_BUILT)
  return()
endif()
set(without "")
if(left_out)
  set(without "-${left_out}")
endif()
execute_process(COMMAND "${program}" --gtest_list_tests "--gtest_filter=*${without}" OUTPUT_VARIABLE listed RESULT_VARIABLE failed)
if(NOT failed EQUAL 0)
  message(FATAL_ERROR "${program} --gtest_list_tests failed: ${failed}")
endif()

# Lines are "Suite." and "  Case", each perhaps followed by "  # GetParam() = ...".
string(REPLACE ";" "," listed "${listed}")
string(REGEX REPLACE " *#[^\n]*" "" listed "${listed}")
string(REPLACE "\n" ";" listed "${listed}")
set(suites "")
foreach(line IN LISTS listed)
  if(line MATCHES "^([^ ]+)\\.$")
    set(suite "${CMAKE_MATCH_1}")
  elseif(line MATCHES "^  ([^ ]+)$")
    set(name "${CMAKE_MATCH_1}")
    if(suite MATCHES "(^|/)DISABLED_" OR name MATCHES "^DISABLED_")
      continue()
    endif()
    if(suite MATCHES "^Devices/" AND name MATCHES "/([a-z]+)$")
      list(APPEND suites "${suite}.*/${CMAKE_MATCH_1}")
    else()
      list(APPEND suites "${suite}.*")
    endif()
  endif()
endforeach()
list(REMOVE_DUPLICATES suites)

foreach(suite IN LISTS suites)
  string(REPLACE ".*" "" name "${suite}")
  add_test("${name}" "${program}" "--gtest_filter=${suite}${without}" --gtest_brief=1)
  # Skipped is a test of which every case was: the pattern reaches to the end of the output, so that
  # neither a failure nor a sanitizer's report can hide behind it.
  set_tests_properties("${name}" PROPERTIES TIMEOUT 1200 ENVIRONMENT "${environment}"
    SKIP_REGULAR_EXPRESSION "  PASSED  . 0 tests\\.\n.  SKIPPED . [0-9]+ tests?\\.\n*$")
  if(name MATCHES "BadInputTest")  # a hundred runs of the program, one after another: first, so that it is not last
    set_tests_properties("${name}" PROPERTIES COST 1000)
  endif()
endforeach()
