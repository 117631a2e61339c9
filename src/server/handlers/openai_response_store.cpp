#include "server/handlers/openai_response_store.h"

namespace onnxlocal {

void ResponseStore::put(std::string_view scope, std::string_view id, Stored stored) {
  const std::scoped_lock lock(mutex_);
  if (const auto old = find_live(scope, id); old != entries_.end()) drop(old);
  entries_.push_front({.key = {std::string(scope), std::string(id)},
                       .stored = std::move(stored),
                       .expires = now_() + limits_.ttl});
  by_key_[entries_.front().key] = entries_.begin();
  bytes_ += entries_.front().bytes();
  while (entries_.size() > limits_.count_max || bytes_ > limits_.bytes_max) {
    drop(std::prev(entries_.end()));
  }
}

std::optional<ResponseStore::Stored> ResponseStore::find(std::string_view scope,
                                                         std::string_view id) {
  const std::scoped_lock lock(mutex_);
  const auto entry = find_live(scope, id);
  if (entry == entries_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, entry);
  return entry->stored;
}

bool ResponseStore::erase(std::string_view scope, std::string_view id) {
  const std::scoped_lock lock(mutex_);
  const auto entry = find_live(scope, id);
  if (entry == entries_.end()) return false;
  drop(entry);
  return true;
}

void ResponseStore::drop(Entries::iterator entry) {
  bytes_ -= entry->bytes();
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

ResponseStore::Entries::iterator ResponseStore::find_live(std::string_view scope,
                                                          std::string_view id) {
  const auto found = by_key_.find({std::string(scope), std::string(id)});
  if (found == by_key_.end()) return entries_.end();
  if (found->second->expires > now_()) return found->second;
  drop(found->second);
  return entries_.end();
}

}  // namespace onnxlocal
