#include "base/pipe.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace onnxlocal {

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return std::unexpected(internal_error(fmt::format("no pipe: {}", std::strerror(errno))));
  }
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace onnxlocal
