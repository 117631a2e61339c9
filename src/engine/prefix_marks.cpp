// The prefix cache's marks: what protects a prefix, for how long, and how much of it all.
//
// A mark lies on the last block of a prefix. The blocks before it cannot be evicted while that one
// is there, for it hangs on them. Where it goes after all, its marks move to the block before.
#include <algorithm>
#include <set>

#include "base/check.h"
#include "engine/prefix_cache.h"
#include "engine/prefix_node.h"

namespace onnxlocal {
namespace {

/// The ancestor at this depth, or the node itself where it is no deeper.
template <class Node>
Node* ancestor(Node* node, std::uint32_t depth) {
  while (node->depth > depth) node = node->parent;
  return node;
}

/// Blocks that two paths have in common.
template <class Node>
std::uint32_t common_depth(Node* a, Node* b) {
  a = ancestor(a, b->depth);
  b = ancestor(b, a->depth);
  while (a != b && a->depth > 0) {
    a = a->parent;
    b = b->parent;
  }
  return a == b ? a->depth : 0;
}

}  // namespace

std::size_t PrefixCache::marked_blocks_max() const {
  if (!can_hold_blocks()) return 0;
  const std::size_t blocks = options_.bytes_max / options_.block_bytes;
  return static_cast<std::size_t>(static_cast<double>(blocks) * kMarkedShare);
}

void PrefixCache::pin(const Path& path, std::uint32_t blocks, std::chrono::seconds ttl) {
  if (!path.tail_ || path.tail_->depth == 0 || blocks == 0 || ttl.count() <= 0) return;
  Node* tail = ancestor(path.tail_, blocks);
  const TimePoint now = options_.now();
  const TimePoint expires = ttl < TimePoint::max() - now ? now + ttl : TimePoint::max();
  const auto same = std::ranges::find_if(
      marks_, [&](const Mark& mark) { return mark.tail == tail && mark.agent.empty(); });
  if (same != marks_.end()) {
    same->expires = std::max(same->expires, expires);
    same->last_use = ++clock_;
    return;
  }
  add_mark({.tail = tail, .rank = CacheRank::kPinned, .expires = expires, .agent = {}});
  bound_pins();
}

void PrefixCache::keep_for_agent(const Path& path, std::string_view agent, bool is_side_talk) {
  if (!path.tail_ || path.tail_->depth == 0 || agent.empty()) return;
  for (auto mark = marks_.begin(); mark != marks_.end();) {
    if (mark->agent != agent) {
      ++mark;
      continue;
    }
    const std::uint32_t common = common_depth(mark->tail, path.tail_);
    if (common == path.tail_->depth) {  // It is still all there, and more.
      mark->last_use = ++clock_;
      marks_.splice(marks_.end(), marks_, mark);
      return;
    }
    const bool goes_on = 2 * common >= mark->tail->depth;
    if (!goes_on && is_side_talk && mark->tail->depth > path.tail_->depth) return;
    mark = goes_on ? remove_mark(mark) : std::next(mark);
  }
  add_mark({.tail = path.tail_, .rank = CacheRank::kAgent, .agent = std::string(agent)});
  bound_agents(agent);
}

/// Makes room among the marks of its own rank or weaker; where that is not enough, protects the
/// beginning.
void PrefixCache::add_mark(Mark mark) {
  const auto unmarked = [&] {
    std::size_t count = 0;
    for (const Node* node = mark.tail; node->depth > 0 && node->marks == 0; node = node->parent) {
      ++count;
    }
    return count;
  };
  while (marked_blocks_ + unmarked() > marked_blocks_max()) {
    if (!drop_weakest_mark(mark.rank)) break;
  }
  const std::size_t wanted = marked_blocks_ + unmarked();
  const std::size_t excess = wanted - std::min(wanted, marked_blocks_max());
  mark.tail = ancestor(mark.tail, mark.tail->depth - static_cast<std::uint32_t>(excess));
  if (mark.tail->depth == 0) return;
  mark.last_use = ++clock_;
  next_expiry_ = std::min(next_expiry_, mark.expires);
  for (Node* node = mark.tail; node->depth > 0; node = node->parent) {
    marked_blocks_ += node->marks == 0 ? 1 : 0;
    ++node->marks;
  }
  Node* tail = mark.tail;
  marks_.push_back(std::move(mark));
  update_rank(tail);
}

PrefixCache::Marks::iterator PrefixCache::remove_mark(Marks::iterator mark) {
  Node* tail = mark->tail;
  for (Node* node = tail; node->depth > 0; node = node->parent) {
    --node->marks;
    marked_blocks_ -= node->marks == 0 ? 1 : 0;
  }
  const auto next = marks_.erase(mark);
  update_rank(tail);
  return next;
}

void PrefixCache::update_rank(Node* node) {
  CacheRank rank = CacheRank::kAnonymous;
  for (const Mark& mark : marks_) {
    if (mark.tail == node) rank = std::max(rank, mark.rank);
  }
  if (rank == node->rank) return;
  remove_evictable(node);
  node->rank = rank;
  update_evictable(node);
}

/// `leaf` is about to go: what protected it protects what is left of the prefix.
void PrefixCache::hand_marks_up(Node* leaf) {
  if (leaf->marks == 0) return;
  Node* parent = leaf->parent;
  --marked_blocks_;
  for (auto mark = marks_.begin(); mark != marks_.end();) {
    if (mark->tail != leaf) {
      ++mark;
    } else if (parent->depth == 0) {
      mark = marks_.erase(mark);
    } else {
      mark->tail = parent;
      ++mark;
    }
  }
  if (parent->depth > 0) update_rank(parent);
}

bool PrefixCache::drop_weakest_mark(CacheRank rank_max) {
  const auto weaker = [](const Mark& a, const Mark& b) {
    return std::pair(a.rank, a.last_use) < std::pair(b.rank, b.last_use);
  };
  const auto weakest = std::ranges::min_element(marks_, weaker);
  if (weakest == marks_.end() || weakest->rank > rank_max) return false;
  remove_mark(weakest);
  return true;
}

void PrefixCache::expire_pins() {
  if (next_expiry_ == TimePoint::max()) return;
  const TimePoint now = options_.now();
  if (now < next_expiry_) return;
  next_expiry_ = TimePoint::max();
  for (auto mark = marks_.begin(); mark != marks_.end();) {
    if (mark->expires <= now) {
      mark = remove_mark(mark);
    } else {
      next_expiry_ = std::min(next_expiry_, mark->expires);
      ++mark;
    }
  }
}

void PrefixCache::bound_pins() {
  const auto is_pin = [](const Mark& mark) { return mark.agent.empty(); };
  // The list is in the order of making; a pin that is used on is made anew by its next request.
  if (static_cast<std::size_t>(std::ranges::count_if(marks_, is_pin)) > kPinsMax) {
    remove_mark(std::ranges::find_if(marks_, is_pin));
  }
}

void PrefixCache::bound_agents(std::string_view agent) {
  auto longest = marks_.end();
  std::size_t own = 0;
  std::set<std::string_view> agents;
  for (auto mark = marks_.begin(); mark != marks_.end(); ++mark) {
    if (mark->agent.empty()) continue;
    agents.insert(mark->agent);
    if (mark->agent != agent) continue;
    ++own;
    if (longest == marks_.end() || mark->tail->depth > longest->tail->depth) longest = mark;
  }
  if (own > kPrefixesPerAgent) {
    remove_mark(std::ranges::find_if(
        marks_, [&](const Mark& mark) { return mark.agent == agent && &mark != &*longest; }));
  }
  if (agents.size() <= kAgentsMax) return;
  // New marks come last, so the agent of the first one has been silent for longest.
  const auto first = std::ranges::find_if(marks_, [](const Mark& m) { return !m.agent.empty(); });
  const std::string silent = first->agent;
  for (auto mark = marks_.begin(); mark != marks_.end();) {
    mark = mark->agent == silent ? remove_mark(mark) : std::next(mark);
  }
}

std::vector<std::string> PrefixCache::check_marks() const {
  std::vector<std::string> wrong;
  std::unordered_map<const Node*, std::uint32_t> counts;
  std::unordered_map<const Node*, CacheRank> ranks;
  for (const Mark& mark : marks_) {
    if (mark.tail->depth == 0) wrong.emplace_back("a mark on an empty prefix");
    auto& rank = ranks[mark.tail];
    rank = std::max(rank, mark.rank);
    for (const Node* node = mark.tail; node->depth > 0; node = node->parent) ++counts[node];
  }
  for (const auto& [key, node] : nodes_) {
    const auto count = counts.find(node.get());
    if (node->marks != (count == counts.end() ? 0 : count->second)) {
      wrong.emplace_back("a block miscounts its marks");
    }
    const auto rank = ranks.find(node.get());
    if (node->rank != (rank == ranks.end() ? CacheRank::kAnonymous : rank->second)) {
      wrong.emplace_back("a block has a wrong rank");
    }
  }
  if (marked_blocks_ != counts.size()) wrong.emplace_back("marked blocks are miscounted");
  if (marked_blocks_ > marked_blocks_max()) wrong.emplace_back("too much is marked");
  return wrong;
}

}  // namespace onnxlocal
