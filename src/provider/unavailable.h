#pragma once

#include <string>

#include "provider/provider.h"

namespace onnxlocal {

/// Stands in for a model that could not be found or read, so that a server is up and says why:
/// every request gets the cause.
class UnavailableProvider final : public Provider {
 public:
  /// `model` is the id that would have been served; empty where not even that is known.
  UnavailableProvider(std::string model, Error cause);

  Result<ActiveGeneration> generate(const GenerationRequest& request, EventSink sink) override;
  Result<std::uint32_t> count_tokens(const GenerationRequest& request) override;
  Result<std::string> detokenize(std::span<const TokenId> tokens) const override;
  std::vector<ModelInfo> models() const override;
  ProviderStatus status() const override;
  void shut_down(Deadline deadline) override;

 private:
  const std::string model_;
  const Error cause_;
};

}  // namespace onnxlocal
