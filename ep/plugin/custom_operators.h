#pragma once

#include "plugin/ort_api.h"

namespace onnxlocal::ep {

/// The operators of our own domain, as a graph that holds them must know them. They run in this
/// provider alone: a session that places one elsewhere ends in an error that says so.
class CustomOperators {
 public:
  CustomOperators();
  OrtCustomOpDomain* domain() { return domain_; }

 private:
  OrtCustomOp paged_attention_;
  Ort::CustomOpDomain domain_{nullptr};
};

}  // namespace onnxlocal::ep
