#include "server/session_registry.h"

#include <vector>

namespace onnxlocal {

void SessionRegistry::add(std::shared_ptr<Session> session) {
  sessions_.insert(std::move(session));
  publish_count();
}

void SessionRegistry::remove(const std::shared_ptr<Session>& session) {
  sessions_.erase(session);
  publish_count();
}

void SessionRegistry::for_each(const std::function<void(Session&)>& visit) {
  // A visit may end a session, which then leaves the set.
  const std::vector<std::shared_ptr<Session>> open(sessions_.begin(), sessions_.end());
  for (const auto& session : open) visit(*session);
}

bool SessionRegistry::wait_until_empty(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto is_empty = [this] { return count_ == 0; };
  if (deadline.is_unreachable()) {
    changed_.wait(lock, is_empty);
    return true;
  }
  return changed_.wait_until(lock, deadline.at(), is_empty);
}

void SessionRegistry::publish_count() {
  {
    const std::scoped_lock lock(mutex_);
    count_ = sessions_.size();
  }
  changed_.notify_all();
}

}  // namespace onnxlocal
