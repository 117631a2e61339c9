#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/result.h"

/// The wire format of Message Batches. Pages are asked for as those of the models
/// (`parse_model_page`).
namespace onnxlocal::anthropic {

struct BatchRequest {
  std::string custom_id;  ///< Unique in its batch; 1 to 64 of [a-zA-Z0-9_-].
  /// The body of a POST /v1/messages, as it was written: an object, and no more is known of it.
  /// What is wrong with it becomes the request's result.
  std::string params;
};

/// Reads the body of a POST /v1/messages/batches. Errors: invalid_request, naming the path;
/// too_large.
Result<std::vector<BatchRequest>> parse_batch(std::string_view body);

struct BatchCounts {
  std::uint32_t processing = 0;
  std::uint32_t succeeded = 0;
  std::uint32_t errored = 0;
  std::uint32_t canceled = 0;
  std::uint32_t expired = 0;
  friend bool operator==(const BatchCounts&, const BatchCounts&) = default;
};

struct MessageBatch {
  enum class Status { kInProgress, kCanceling, kEnded };
  std::string id;  ///< "msgbatch_...".
  Status status = Status::kInProgress;
  BatchCounts counts;
  std::chrono::sys_seconds created_at;
  std::chrono::sys_seconds expires_at;
  std::optional<std::chrono::sys_seconds> ended_at;
  std::optional<std::chrono::sys_seconds> cancel_initiated_at;
  /// Where the client gets the results from; clients fail where it is empty though the batch ended.
  std::string results_url;
};

std::string batch_body(const MessageBatch& batch);
/// `batches` is the page, newest first.
std::string batch_list_body(std::span<const MessageBatch> batches, bool has_more);
std::string batch_deleted_body(std::string_view id);

/// One line of a results file, with its line break. `message` is the body that POST /v1/messages
/// would have answered.
std::string batch_succeeded_line(std::string_view custom_id, std::string_view message);
std::string batch_errored_line(std::string_view custom_id, const Error& error);
std::string batch_canceled_line(std::string_view custom_id);
std::string batch_expired_line(std::string_view custom_id);

}  // namespace onnxlocal::anthropic
