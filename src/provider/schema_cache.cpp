#include "provider/schema_cache.h"

#include <utility>

#include "text/json_schema.h"

namespace onnxlocal {

std::shared_ptr<const SchemaFacts> SchemaCache::facts(std::string_view schema) {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = by_schema_.find(schema); found != by_schema_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->facts;
    }
  }
  auto holds = check_enforceable(schema);
  auto relaxed = holds ? Result<std::string>(schema) : relax_schema(schema);
  auto facts = std::make_shared<const SchemaFacts>(
      SchemaFacts{.holds = std::move(holds), .relaxed = std::move(relaxed)});
  const auto may_change = [](const auto& result) {
    return !result && result.error().code == ErrorCode::kOverloaded;
  };
  if (may_change(facts->holds) || may_change(facts->relaxed)) return facts;
  const std::scoped_lock lock(mutex_);
  if (schema.size() > bytes_max_ || by_schema_.contains(schema)) return facts;
  entries_.push_front({.schema = std::string(schema), .facts = facts});
  by_schema_.emplace(entries_.front().schema, entries_.begin());
  bytes_ += schema.size();
  while (bytes_ > bytes_max_) {
    bytes_ -= entries_.back().schema.size();
    by_schema_.erase(entries_.back().schema);
    entries_.pop_back();
  }
  return facts;
}

}  // namespace onnxlocal
