#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"

namespace onnxlocal {

/// What a client of the Messages API asked.
struct RecordedRequest {
  std::string body;   ///< As it was sent.
  std::string betas;  ///< Its `anthropic-beta`; empty where there was none.
};

/// An endpoint on this machine that no model stands behind: it keeps the first message request and
/// answers every one in a word, so that its client ends well. Has a thread of its own; any thread
/// may call any method.
class RequestRecorder {
 public:
  /// On a free port of 127.0.0.1. Errors: unavailable.
  static Result<std::unique_ptr<RequestRecorder>> start();
  /// Closes all connections.
  ~RequestRecorder();
  RequestRecorder(const RequestRecorder&) = delete;
  RequestRecorder& operator=(const RequestRecorder&) = delete;

  std::uint16_t port() const;
  /// Empty until there was one.
  std::optional<RecordedRequest> first() const;

 private:
  class Impl;
  explicit RequestRecorder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace onnxlocal
