#include "provider/unavailable.h"

#include <utility>

namespace onnxlocal {

UnavailableProvider::UnavailableProvider(std::string model, Error cause)
    : model_(std::move(model)), cause_(std::move(cause)) {}

Result<ActiveGeneration> UnavailableProvider::generate(const GenerationRequest& /*request*/,
                                                       EventSink /*sink*/) {
  return std::unexpected(cause_);
}

Result<std::uint32_t> UnavailableProvider::count_tokens(const GenerationRequest& /*request*/) {
  return std::unexpected(cause_);
}

Result<std::string> UnavailableProvider::detokenize(std::span<const TokenId> /*tokens*/) const {
  return std::unexpected(cause_);
}

std::vector<ModelInfo> UnavailableProvider::models() const { return {}; }

ProviderStatus UnavailableProvider::status() const {
  ProviderStatus status;
  status.state = ProviderStatus::State::kFailed;
  status.model = model_;
  status.failure = cause_;
  return status;
}

void UnavailableProvider::shut_down(Deadline /*deadline*/) {}

}  // namespace onnxlocal
