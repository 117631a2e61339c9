#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace onnxlocal::anthropic {

/// What `GET /v1/models` tells of one model.
struct ModelCard {
  std::string id;  ///< "onnx-local/NAME".
  std::string display_name;
  std::chrono::sys_seconds created_at;
  std::uint32_t context_tokens = 0;
  std::uint32_t tokens_max = 0;
  bool can_think = false;        ///< Others accept `thinking` too, and simply answer.
  bool gives_vectors = false;    ///< An embedding model: no message can be for it.
  std::uint32_t dimensions = 0;  ///< Of its vectors; 0 where that is not known.
};

/// Which part of the list a client asks for. At most one of the two ids is set.
struct ModelPage {
  std::size_t limit = 20;
  std::string after_id;
  std::string before_id;
};

/// Reads the texts of the query; absent ones keep the defaults.
/// Errors: invalid_request (limit not in 1..1000, both ids).
Result<ModelPage> parse_model_page(std::optional<std::string_view> limit,
                                   std::optional<std::string_view> after_id,
                                   std::optional<std::string_view> before_id);

/// `{"data":[...],"has_more","first_id","last_id"}`. Errors: invalid_request (unknown cursor).
Result<std::string> model_list_body(std::span<const ModelCard> models, const ModelPage& page);

std::string model_body(const ModelCard& model);

/// Finds who answers for the id a client wrote: a listed id, with or without "onnx-local/", or any
/// "claude-..." id, which means the first model that writes text, so that clients with built-in
/// names work.
/// Errors: not_found, naming the models that exist.
Result<const ModelCard*> resolve_model(std::string_view requested,
                                       std::span<const ModelCard> models);

}  // namespace onnxlocal::anthropic
