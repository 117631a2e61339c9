#include "engine/prefix_restorer.h"

#include <algorithm>

namespace onnxlocal {

PrefixRestorer::Order::~Order() {
  if (is_over_) return;
  if (is_begun_) restorer_.disk_.end_restore();
  restorer_.orders_.remove(this);
}

std::span<const TokenId> PrefixRestorer::next_block(const Order& order) const {
  const std::size_t begin = std::size_t{order.path_.blocks()} * block_tokens_;
  if (begin >= order.tokens_.size()) return {};
  return std::span(order.tokens_).subspan(begin, block_tokens_);
}

/// As far as the cache has it.
void PrefixRestorer::follow(Order& order) {
  while (true) {
    const auto tokens = next_block(order);
    if (tokens.empty() || !cache_.follow(order.path_, tokens)) return;
  }
}

std::unique_ptr<PrefixRestorer::Order> PrefixRestorer::ask(Wanted wanted) {
  const std::uint32_t stored = disk_.stored_blocks(wanted.scope, wanted.tokens);
  if (stored == 0) return nullptr;
  std::unique_ptr<Order> order(new Order(*this));
  order->is_over_ = true;  // Until it is listed.
  order->path_ = std::move(wanted.path);
  order->scope_ = wanted.scope;
  order->rank_of_ = std::move(wanted.rank_of);
  const auto tokens = wanted.tokens.first(std::size_t{stored} * block_tokens_);
  order->tokens_.assign(tokens.begin(), tokens.end());
  order->asked_at_ = now_();
  follow(*order);
  if (order->path_.blocks() >= stored) return nullptr;
  order->is_over_ = false;
  orders_.push_back(order.get());
  return order;
}

bool PrefixRestorer::poll() {
  const TimePoint now = now_();
  bool has_ended = false;
  for (auto at = orders_.begin(); at != orders_.end();) {
    Order& order = **at;
    const bool is_first = at == orders_.begin();
    if (is_first && !order.is_begun_ && !begin(order)) {
      order.is_over_ = true;
    } else if (order.is_begun_) {
      take(order);
      if (!order.is_over_ && now - order.last_news_ >= kStallMax) order.came_too_late_ = true;
    }
    if (!order.is_over_ && now - order.asked_at_ >= kWaitMax) order.came_too_late_ = true;
    if (order.is_over_ || order.came_too_late_) {
      end(order);
      has_ended = true;
      at = orders_.erase(at);
    } else {
      ++at;
    }
  }
  return has_ended;
}

/// False where there is nothing to wait for.
bool PrefixRestorer::begin(Order& order) {
  follow(order);  // The order before may have brought it.
  if (next_block(order).empty()) return false;
  order.is_begun_ = disk_.begin_restore(order.scope_, order.tokens_, order.path_.blocks());
  order.last_news_ = now_();
  // A disk that still hangs on what was given up may hang on.
  order.came_too_late_ = !order.is_begun_ && disk_.is_reading();
  return order.is_begun_;
}

void PrefixRestorer::take(Order& order) {
  auto restored = disk_.take_restored();
  for (CacheBlock& bytes : restored.blocks) {
    order.last_news_ = now_();
    const auto tokens = next_block(order);
    if (tokens.empty() || cache_.follow(order.path_, tokens)) continue;
    const CacheRank rank = order.rank_of_(order.path_.blocks());
    if (!cache_.add(order.path_, tokens, std::move(bytes), rank)) {
      order.is_over_ = true;  // No room for more.
      return;
    }
    ++restored_blocks_;
  }
  order.was_damaged_ = restored.was_damaged;
  order.is_over_ = restored.is_over;
}

void PrefixRestorer::end(Order& order) {
  if (order.is_begun_) disk_.end_restore();
  order.is_over_ = true;
}

PrefixRestorer::TimePoint PrefixRestorer::wake_at() const {
  TimePoint at = TimePoint::max();
  for (const Order* order : orders_) {
    at = std::min(at, order->asked_at_ + kWaitMax);
    if (order->is_begun_) at = std::min(at, order->last_news_ + kStallMax);
  }
  return at;
}

}  // namespace onnxlocal
