#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <onnxruntime_cxx_api.h>

namespace onnxlocal {

/// An input or output of a graph.
struct Port {
  std::string name;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<std::int64_t> shape;  ///< -1 where it is open.
};

/// May throw Ort::Exception, which ends in the function that opened the session.
std::vector<Port> inputs_of(const Ort::Session& session);
std::vector<Port> outputs_of(const Ort::Session& session);

/// Null where there is none. Borrows `ports`.
const Port* find_port(const std::vector<Port>& ports, const std::string& name);

}  // namespace onnxlocal
