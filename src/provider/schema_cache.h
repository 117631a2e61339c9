#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"

namespace onnxlocal {

/// What a grammar can hold of a schema.
struct SchemaFacts {
  Result<void> holds;           ///< Or why not all of it.
  Result<std::string> relaxed;  ///< What it can hold; the schema itself where that is all.
};

/// Finds out once per schema: clients send the same tools with every request. Those used least
/// recently go first. Any thread.
class SchemaCache {
 public:
  explicit SchemaCache(std::size_t bytes_max = kBytesMax) : bytes_max_(bytes_max) {}

  std::shared_ptr<const SchemaFacts> facts(std::string_view schema);

 private:
  /// Hundreds of tools.
  static constexpr std::size_t kBytesMax = std::size_t{8} << 20;

  struct Entry {
    std::string schema;
    std::shared_ptr<const SchemaFacts> facts;
  };

  const std::size_t bytes_max_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::list<Entry> entries_;                                          ///< Most recently used first.
  std::map<std::string_view, std::list<Entry>::iterator> by_schema_;  ///< Keys are the entries'.
  std::size_t bytes_ = 0;
};

}  // namespace onnxlocal
