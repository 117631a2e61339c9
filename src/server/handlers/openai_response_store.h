#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace onnxlocal {

/// Finished responses of /v1/responses, in memory, so that later ones can go on from them: bounded
/// in number, bytes and time, the least recently used forgotten first, each client's own. Any
/// thread.
class ResponseStore {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    std::size_t count_max = 4096;
    std::size_t bytes_max = std::size_t{64} << 20;
    std::chrono::seconds ttl{24 * 3600};
  };
  struct Stored {
    std::string response;      ///< The whole body.
    std::string conversation;  ///< A JSON array: all items, input and output.
  };

  ResponseStore() : ResponseStore(Limits(), Clock::now) {}
  ResponseStore(Limits limits, std::function<Clock::time_point()> now)
      : limits_(limits), now_(std::move(now)) {}

  /// `scope` keeps clients apart. What is over `bytes_max` alone is not kept.
  void put(std::string_view scope, std::string_view id, Stored stored);
  std::optional<Stored> find(std::string_view scope, std::string_view id);
  /// False where it is not there.
  bool erase(std::string_view scope, std::string_view id);

 private:
  using Key = std::pair<std::string, std::string>;
  struct Entry {
    Key key;
    Stored stored;
    Clock::time_point expires;
    std::size_t bytes() const { return stored.response.size() + stored.conversation.size(); }
  };
  using Entries = std::list<Entry>;

  void drop(Entries::iterator entry);
  Entries::iterator find_live(std::string_view scope, std::string_view id);

  const Limits limits_;
  const std::function<Clock::time_point()> now_;

  std::mutex mutex_;
  // Guarded by mutex_.
  Entries entries_;  ///< Most recently used first.
  std::map<Key, Entries::iterator> by_key_;
  std::size_t bytes_ = 0;
};

}  // namespace onnxlocal
