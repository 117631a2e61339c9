#pragma once

#include <string>
#include <string_view>

#include "api/openai/options.h"
#include "base/json.h"
#include "base/result.h"
#include "generation/request.h"

namespace onnxlocal::openai {

/// A request of POST /v1/responses.
struct ResponseRequest {
  /// Without messages: `conversation_of` makes them, of what was said before and `input`.
  GenerationRequest generation;
  bool stream = false;
  bool store = true;
  std::string model;                 ///< As written, for the echo.
  std::string previous_response_id;  ///< Empty where the conversation begins.
  std::string instructions;          ///< Empty where there are none.
  json::array input;                 ///< Items.
  json::object echo;                 ///< The request's own settings as the response repeats them.
};

/// Reads the JSON text of a request. Tools and items that are not here are refused by their types'
/// names. Errors: invalid_request, naming the field; too_large.
Result<ResponseRequest> parse_response_request(std::string_view body);

/// The messages of these instructions and of items, earlier ones (input and output) first. Errors:
/// invalid_request, naming the item.
Result<std::vector<Message>> conversation_of(std::string_view instructions,
                                             const json::array& earlier, const json::array& input);

}  // namespace onnxlocal::openai
