#pragma once

#include "base/descriptor.h"
#include "base/result.h"

namespace onnxlocal {

struct Pipe {
  Descriptor read;
  Descriptor write;
};

/// Programs that are started inherit neither end. Errors: internal.
Result<Pipe> make_pipe();

}  // namespace onnxlocal
