#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include "base/deadline.h"
#include "server/session.h"

namespace onnxlocal {

/// The sessions that are open. The set belongs to the network thread; the count may be waited for
/// from another one.
class SessionRegistry {
 public:
  void add(std::shared_ptr<Session> session);
  void remove(const std::shared_ptr<Session>& session);
  std::size_t size() const { return sessions_.size(); }
  void for_each(const std::function<void(Session&)>& visit);

  /// Any thread but the network's. True once no session is open; false at the deadline.
  bool wait_until_empty(Deadline deadline);

 private:
  void publish_count();

  // Network thread.
  std::set<std::shared_ptr<Session>> sessions_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t count_ = 0;  // Guarded by mutex_.
};

}  // namespace onnxlocal
