#include "program/profile.h"

#include <fstream>

namespace onnxlocal::ep {

std::string_view to_string(Op op) {
  switch (op) {
    case Op::kEmbed: return "embed";
    case Op::kLoad: return "load";
    case Op::kNorm: return "norm";
    case Op::kAddNorm: return "add_norm";
    case Op::kLayerNorm: return "layer_norm";
    case Op::kQuantize: return "quantize";
    case Op::kProduct: return "product";
    case Op::kGatedProduct: return "gated_product";
    case Op::kGate: return "gate";
    case Op::kAdd: return "add";
    case Op::kMultiply: return "multiply";
    case Op::kAddVector: return "add_vector";
    case Op::kMultiplyVector: return "multiply_vector";
    case Op::kScale: return "scale";
    case Op::kActivate: return "activate";
    case Op::kSigmoid: return "sigmoid";
    case Op::kSoftcap: return "softcap";
    case Op::kRotate: return "rotate";
    case Op::kGather: return "gather";
    case Op::kAttention: return "attention";
    case Op::kStore: return "store";
  }
  return "unknown";
}

Profile::~Profile() {
  if (file_.empty()) return;
  std::ofstream out(file_, std::ios::app);
  out << "{\"kind\":\"run\",\"calls\":" << runs_ << ",\"rows\":" << rows_ << "}\n";
  for (std::size_t i = 0; i < kOps; ++i) {
    if (entries_[i].calls == 0) continue;
    out << "{\"kind\":\"" << to_string(static_cast<Op>(i)) << "\",\"calls\":" << entries_[i].calls
        << ",\"nanoseconds\":" << entries_[i].nanoseconds.count() << "}\n";
  }
}

}  // namespace onnxlocal::ep
