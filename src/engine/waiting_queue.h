#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "engine/sequence.h"

namespace onnxlocal {

/// Sequences that wait for a slot: live ones before batch ones, each kind in the order it came; and
/// before all others a batch sequence that was given its turn. Engine thread only.
class WaitingQueue {
 public:
  using Owned = std::unique_ptr<Sequence>;

  void push_back(Owned sequence);
  /// Before all others of its kind: it waited already.
  void push_front(Owned sequence);
  /// REQUIRES: not empty.
  Sequence& front() const { return *(live_.empty() ? batch_ : live_).front(); }
  Owned pop_front();
  /// Null where none waits.
  Sequence* first_batch() const { return batch_.empty() ? nullptr : batch_.front().get(); }
  /// REQUIRES: a batch sequence waits.
  void give_turn_to_first_batch();
  /// Takes a sequence out; null where it does not wait.
  Owned remove(SequenceId id);
  /// Takes all out, in their order.
  std::vector<Owned> remove_all();

  bool empty() const { return live_.empty() && batch_.empty(); }
  std::size_t size() const { return live_.size() + batch_.size(); }
  std::size_t batch_size() const { return batch_.size(); }

 private:
  std::deque<Owned>& of_kind(const Sequence& sequence) {
    return sequence.is_batch() ? batch_ : live_;
  }

  std::deque<Owned> live_;
  std::deque<Owned> batch_;
};

}  // namespace onnxlocal
