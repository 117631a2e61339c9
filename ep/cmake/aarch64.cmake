# 64-bit ARM from another machine, by Debian's g++-12-aarch64-linux-gnu; tests run under qemu-user.
# GTest is built first, from Debian's sources:
#   T=-DCMAKE_TOOLCHAIN_FILE=$PWD/ep/cmake/aarch64.cmake
#   cmake -S /usr/src/googletest -B build/aarch64-gtest -G Ninja $T \
#     -DCMAKE_INSTALL_PREFIX=$PWD/build/aarch64-root
#   ninja -C build/aarch64-gtest install
#   cmake -S ep -B build/ep-aarch64 -G Ninja -DCMAKE_BUILD_TYPE=Release $T
#   ninja -C build/ep-aarch64 ep_matrix_test && ctest --test-dir build/ep-aarch64 -R ep_matrix_test
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc-12)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++-12)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu ${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-root)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
