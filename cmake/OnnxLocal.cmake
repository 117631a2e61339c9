# What every folder's CMakeLists.txt uses: onnxlocal_library, onnxlocal_test, onnxlocal_fuzz.
include(GoogleTest)

find_program(CCACHE ccache)
if(CCACHE)
  # Paths below the checkout count as relative, so that a second clone finds what a first one built.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

option(ONNXLOCAL_WERROR "Treat warnings as errors" ON)
option(ONNXLOCAL_FUZZ "Build fuzz targets for libFuzzer (clang)" OFF)
set(ONNXLOCAL_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=: address,undefined or thread")

add_library(onnxlocal_options INTERFACE)
target_compile_options(onnxlocal_options INTERFACE -Wall -Wextra -Wpedantic
  $<$<BOOL:${ONNXLOCAL_WERROR}>:-Werror>)
target_include_directories(onnxlocal_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
# spdlog's own fmt would be a second copy of Debian's.
target_compile_definitions(onnxlocal_options INTERFACE SPDLOG_FMT_EXTERNAL SPDLOG_COMPILED_LIB
  SPDLOG_ACTIVE_LEVEL=SPDLOG_LEVEL_DEBUG)
if(ONNXLOCAL_SANITIZE)
  target_compile_options(onnxlocal_options INTERFACE
    -fsanitize=${ONNXLOCAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(onnxlocal_options INTERFACE -fsanitize=${ONNXLOCAL_SANITIZE})
endif()

# The tests' Python is the one that has their packages (tools/setup --test brings it), else any.
if(EXISTS ${CMAKE_SOURCE_DIR}/.deps/venv/bin/python)
  set(Python3_EXECUTABLE ${CMAKE_SOURCE_DIR}/.deps/venv/bin/python)
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(GTest REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(Boost 1.81 REQUIRED COMPONENTS json)

# ONNX Runtime: ONNXRUNTIME_ROOT (include/ and lib/), else what tools/setup fetched.
set(ONNXRUNTIME_ROOT "$ENV{ONNXRUNTIME_ROOT}" CACHE PATH "ONNX Runtime: a folder with include/ and lib/")
if(NOT ONNXRUNTIME_ROOT)
  set(ONNXRUNTIME_ROOT ${CMAKE_SOURCE_DIR}/.deps/onnxruntime)
endif()
add_library(onnxruntime SHARED IMPORTED GLOBAL)
set_target_properties(onnxruntime PROPERTIES
  IMPORTED_LOCATION ${ONNXRUNTIME_ROOT}/lib/libonnxruntime.so.1
  INTERFACE_INCLUDE_DIRECTORIES ${ONNXRUNTIME_ROOT}/include)

# What .ci/run builds by name where it does not want all.
add_custom_target(unit_tests)
add_custom_target(fuzz_targets)
file(WRITE ${CMAKE_BINARY_DIR}/fuzz_targets.txt "")

# onnxlocal_library(NAME SOURCES a.cpp ... LINK target ...): one folder, one static library.
function(onnxlocal_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC onnxlocal_options ${ARG_LINK})
endfunction()

# onnxlocal_test(NAME SOURCES a_test.cpp ... LINK target ... [LABEL unit] [TIMEOUT seconds])
# Labels are the stages of tools/run_tests: unit, fuzz, simulation, model, clients, docs; "model;slow"
# runs in `make test-long` alone.
function(onnxlocal_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABEL" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    ONNXLOCAL_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT})
  if("unit" IN_LIST ARG_LABEL)
    add_dependencies(unit_tests ${name})
  endif()
endfunction()

# onnxlocal_fuzz(NAME SOURCES x_fuzz.cpp LINK target ...): under the fuzz preset (clang) a libFuzzer
# binary; elsewhere a plain main that runs the corpus once, so that targets never rot. Either way the
# test runs fuzz/corpus/NAME.
function(onnxlocal_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  if(ONNXLOCAL_FUZZ)
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -runs=0 ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name})
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/fuzz/plain_main.cpp)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 60)
  add_dependencies(fuzz_targets ${name})
  file(APPEND ${CMAKE_BINARY_DIR}/fuzz_targets.txt "${name}\n")
endfunction()
