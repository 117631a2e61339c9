#include "runtime/graph_ports.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace onnxlocal {

namespace {

Port describe_port(std::string name, const Ort::TypeInfo& type) {
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  return {std::move(name), tensor.GetElementType(), tensor.GetShape()};
}

}  // namespace

std::vector<Port> inputs_of(const Ort::Session& session) {
  std::vector<Port> ports;
  const std::vector<std::string> names = session.GetInputNames();
  for (std::size_t i = 0; i < names.size(); ++i) {
    ports.push_back(describe_port(names[i], session.GetInputTypeInfo(i)));
  }
  return ports;
}

std::vector<Port> outputs_of(const Ort::Session& session) {
  std::vector<Port> ports;
  const std::vector<std::string> names = session.GetOutputNames();
  for (std::size_t i = 0; i < names.size(); ++i) {
    ports.push_back(describe_port(names[i], session.GetOutputTypeInfo(i)));
  }
  return ports;
}

const Port* find_port(const std::vector<Port>& ports, const std::string& name) {
  const auto found = std::ranges::find(ports, name, &Port::name);
  return found == ports.end() ? nullptr : &*found;
}

}  // namespace onnxlocal
