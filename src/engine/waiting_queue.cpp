#include "engine/waiting_queue.h"

#include <algorithm>
#include <utility>

namespace onnxlocal {

void WaitingQueue::push_back(Owned sequence) { of_kind(*sequence).push_back(std::move(sequence)); }

void WaitingQueue::push_front(Owned sequence) {
  of_kind(*sequence).push_front(std::move(sequence));
}

WaitingQueue::Owned WaitingQueue::pop_front() {
  std::deque<Owned>& kind = live_.empty() ? batch_ : live_;
  Owned first = std::move(kind.front());
  kind.pop_front();
  return first;
}

void WaitingQueue::give_turn_to_first_batch() {
  Owned first = std::move(batch_.front());
  batch_.pop_front();
  first->has_turn = true;
  live_.push_front(std::move(first));
}

WaitingQueue::Owned WaitingQueue::remove(SequenceId id) {
  for (std::deque<Owned>* kind : {&live_, &batch_}) {
    const auto found =
        std::ranges::find_if(*kind, [id](const Owned& sequence) { return sequence->id == id; });
    if (found == kind->end()) continue;
    Owned sequence = std::move(*found);
    kind->erase(found);
    return sequence;
  }
  return nullptr;
}

std::vector<WaitingQueue::Owned> WaitingQueue::remove_all() {
  std::vector<Owned> all;
  while (!empty()) all.push_back(pop_front());
  return all;
}

}  // namespace onnxlocal
