#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "api/anthropic/models.h"
#include "base/result.h"

namespace onnxlocal {

/// Further names that clients may use for a model. A name that ends with `*` stands for all that
/// begin so; of several that fit, the longest counts. Without a table of one's own, any
/// `claude-...` id means the first model. Constant after construction.
class ModelAliases {
 public:
  ModelAliases() = default;
  /// Each "NAME=MODEL". Errors: invalid_request (no such form, a name twice).
  static Result<ModelAliases> parse(std::span<const std::string> entries);

  /// Who answers for the id that a client wrote. Errors: not_found, naming the models that exist.
  Result<const anthropic::ModelCard*> resolve(std::string_view requested,
                                              std::span<const anthropic::ModelCard> models) const;

  bool empty() const { return targets_.empty(); }

 private:
  std::optional<std::string_view> target_of(std::string_view requested) const;

  std::map<std::string, std::string, std::less<>> targets_;  ///< By name, its `*` included.
};

}  // namespace onnxlocal
