#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/result.h"

namespace onnxlocal::anthropic {

/// Checks that each call has its one result, before the model speaks again. Messages come in order.
class ToolPairing {
 public:
  /// An assistant's message begins, at this index. Errors: invalid_request where a call before it
  /// has no result.
  Result<void> begin_assistant(std::size_t message);
  void begin_user() { is_assistant_ = false; }

  /// Errors: invalid_request, naming `path` (the id was there before).
  Result<void> add_use(std::string_view id, std::string_view name, std::string_view path);

  /// The name of the tool that was called. Errors: invalid_request, naming `path` (no such call, or
  /// it has a result).
  Result<std::string> add_result(std::string_view id, std::string_view path);

  /// Errors: as `begin_assistant`.
  Result<void> finish() const;

 private:
  Result<void> check_no_open_use() const;

  std::map<std::string, std::string, std::less<>> open_;  ///< Names by id.
  std::unordered_set<std::string> ids_;
  std::size_t message_ = 0;
  bool is_assistant_ = false;
};

}  // namespace onnxlocal::anthropic
