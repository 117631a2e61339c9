#include "server/handlers/generation.h"

#include "server/responses.h"

namespace onnxlocal {

std::optional<HttpResponse> prepare_generation(const Models& models, const HttpRequest& request,
                                               WireFormat format, const RequestContext& context,
                                               GenerationRequest& generation) {
  const ProviderStatus status = models.provider->status();
  if (status.state == ProviderStatus::State::kFailed) {
    return to_response(broken_model_reply(format, status.failure, context.request_id));
  }
  if (const auto addressed = address(generation, models, request, context); !addressed) {
    return error_response(format, addressed.error(), context.request_id);
  }
  return std::nullopt;
}

}  // namespace onnxlocal
