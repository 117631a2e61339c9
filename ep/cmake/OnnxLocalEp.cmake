# What every folder of ep/ uses: onnxlocal_ep_library, onnxlocal_ep_test.
option(ONNXLOCAL_WERROR "Treat warnings as errors" ON)
set(ONNXLOCAL_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=: address,undefined or thread")
get_filename_component(ONNXLOCAL_EP_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
get_filename_component(ONNXLOCAL_ROOT ${ONNXLOCAL_EP_ROOT}/.. ABSOLUTE)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(CCACHE ccache)
  if(CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  endif()
endif()
find_package(Threads REQUIRED)
find_package(GTest REQUIRED)

add_library(onnxlocal_ep_options INTERFACE)
# A product and a sum are fused where the code says so and nowhere else: results must not depend on
# which loop the compiler chose to contract.
target_compile_options(onnxlocal_ep_options INTERFACE -Wall -Wextra -Wpedantic -ffp-contract=off
  -fvisibility=hidden -fvisibility-inlines-hidden $<$<BOOL:${ONNXLOCAL_WERROR}>:-Werror>)
target_include_directories(onnxlocal_ep_options INTERFACE ${ONNXLOCAL_EP_ROOT})
target_link_libraries(onnxlocal_ep_options INTERFACE Threads::Threads)
if(ONNXLOCAL_SANITIZE)
  target_compile_options(onnxlocal_ep_options INTERFACE
    -fsanitize=${ONNXLOCAL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(onnxlocal_ep_options INTERFACE -fsanitize=${ONNXLOCAL_SANITIZE})
endif()

if(NOT TARGET onnxruntime)
  set(ONNXRUNTIME_ROOT "$ENV{ONNXRUNTIME_ROOT}" CACHE PATH "ONNX Runtime: include/ and lib/")
  if(NOT ONNXRUNTIME_ROOT)
    set(ONNXRUNTIME_ROOT ${ONNXLOCAL_ROOT}/.deps/onnxruntime)
  endif()
  add_library(onnxruntime SHARED IMPORTED GLOBAL)
  set_target_properties(onnxruntime PROPERTIES
    IMPORTED_LOCATION ${ONNXRUNTIME_ROOT}/lib/libonnxruntime.so.1
    INTERFACE_INCLUDE_DIRECTORIES ${ONNXRUNTIME_ROOT}/include)
endif()
if(NOT TARGET unit_tests)
  add_custom_target(unit_tests)
endif()

# onnxlocal_ep_library(NAME SOURCES a.cpp ... LINK target ...): one folder, one static library.
function(onnxlocal_ep_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC onnxlocal_ep_options ${ARG_LINK})
endfunction()

# onnxlocal_ep_isa_sources(NAME folder): adds NAME's files for one instruction set each, where the
# compiler's target has it: x_avx2.cpp, x_avx_vnni.cpp, x_avx512.cpp, x_avx512_bf16.cpp,
# x_neon_dot.cpp, x_neon_i8mm.cpp. x_portable.cpp is an ordinary source.
set(ONNXLOCAL_EP_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(ONNXLOCAL_EP_FLAGS_avx_vnni -mavx2 -mfma -mf16c -mavxvnni)
set(ONNXLOCAL_EP_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx2 -mfma -mf16c)
set(ONNXLOCAL_EP_FLAGS_avx512_bf16 ${ONNXLOCAL_EP_FLAGS_avx512} -mavx512bf16)
set(ONNXLOCAL_EP_FLAGS_neon_dot -march=armv8.2-a+dotprod+fp16)
set(ONNXLOCAL_EP_FLAGS_neon_i8mm -march=armv8.6-a+i8mm+bf16+dotprod+fp16)
function(onnxlocal_ep_isa_sources name)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(sets avx2 avx_vnni avx512 avx512_bf16)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    set(sets neon_dot neon_i8mm)
  endif()
  foreach(set IN LISTS sets)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_${set}.cpp)
    # *_avx512_bf16.cpp is not *_avx512.cpp, but "*_avx2.cpp" style globs match by the end alone.
    if(sources)
      target_sources(${name} PRIVATE ${sources})
      set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${ONNXLOCAL_EP_FLAGS_${set}}")
    endif()
  endforeach()
endfunction()

# onnxlocal_ep_test(NAME SOURCES a_test.cpp ... LINK target ...)
function(onnxlocal_ep_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} onnxlocal_ep_options GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${ONNXLOCAL_ROOT})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT ${ARG_TIMEOUT})
  add_dependencies(unit_tests ${name})
endfunction()
