#pragma once

#include <chrono>
#include <functional>

namespace onnxlocal {

/// The time, as the server's parts are given it, so that a test can move it. Any thread.
struct Clock {
  using Steady = std::chrono::steady_clock::time_point;
  using Wall = std::chrono::system_clock::time_point;

  std::function<Steady()> steady = std::chrono::steady_clock::now;  ///< For what lasts.
  std::function<Wall()> wall = std::chrono::system_clock::now;      ///< For what clients read.
};

}  // namespace onnxlocal
