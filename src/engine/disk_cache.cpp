#include "engine/disk_cache.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/log.h"

namespace onnxlocal {
namespace {

/// After the disk had no room, so many blocks take the place of others before more is asked for.
constexpr std::uint32_t kBlocksBetweenGrowth = 64;

/// Pins that wait to be written, while the disk hangs; more are written at the end alone.
constexpr std::size_t kNewPinsMax = 256;

std::uint64_t system_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::seconds>(now).count());
}

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) ^ device();
}

/// Null where there is no memory.
std::shared_ptr<std::byte[]> make_block(std::size_t bytes) {
  std::shared_ptr<std::byte[]> block;
  try {
    block.reset(new (std::nothrow) std::byte[bytes]);
  } catch (const std::bad_alloc&) {  // Of the counter beside the bytes.
    return nullptr;
  }
  return block;
}

}  // namespace

Result<std::unique_ptr<DiskCache>> DiskCache::open(const DiskPoolKey& key, Options options,
                                                   std::function<void()> on_news) {
  if (!options.now_seconds) options.now_seconds = system_seconds;
  TRY(DiskPool pool, DiskPool::open(key, options.pool));
  return std::unique_ptr<DiskCache>(new DiskCache(
      std::move(pool), key.block_tokens, key.block_bytes, std::move(options), std::move(on_news)));
}

DiskCache::DiskCache(DiskPool pool, std::uint32_t block_tokens, std::size_t block_bytes,
                     Options options, std::function<void()> on_news)
    : block_tokens_(block_tokens),
      block_bytes_(block_bytes),
      options_(std::move(options)),
      on_news_(std::move(on_news)),
      pool_(std::move(pool)),
      index_(block_tokens,
             static_cast<std::size_t>(static_cast<double>(pool_.blocks_max()) * kPinnedShare)),
      random_(random_seed()) {
  for (const DiskPlace place : index_.load(pool_.take_entries(), now())) pool_.give_back(place);
  counts_.size_bytes = pool_.size_bytes();
  thread_ = std::thread([this] { run(); });
}

DiskCache::~DiskCache() { close(Deadline::after(Deadline::Clock::duration::zero())); }

std::uint32_t DiskCache::stored_blocks(const DiskKey& scope, std::span<const TokenId> tokens) {
  const std::scoped_lock lock(mutex_);
  const auto ids = index_.find(scope, tokens, now());
  const auto unwritten =
      std::ranges::find_if(ids, [this](std::uint64_t id) { return !index_.get(id)->place; });
  return static_cast<std::uint32_t>(unwritten - ids.begin());
}

void DiskCache::store(const DiskKey& scope, std::span<const TokenId> tokens,
                      const BlockSource& source) {
  {
    const std::scoped_lock lock(mutex_);
    if (is_closing_) return;
    const auto ids = index_.find(scope, tokens, now());
    const auto all = static_cast<std::uint32_t>(tokens.size() / block_tokens_);
    const auto first = static_cast<std::uint32_t>(ids.size());
    if (first == all) return;
    const std::size_t room = options_.queue_bytes_max / block_bytes_;
    if (writes_.size() >= room) {
      counts_.refused_blocks += all - first;
      return;
    }
    std::uint64_t parent = ids.empty() ? 0 : ids.back();
    std::uint32_t block = first;
    for (CacheBlock& bytes : source(first)) {
      if (writes_.size() >= room) {
        counts_.refused_blocks += all - block;
        break;
      }
      parent = index_.add(parent, scope,
                          tokens.subspan(std::size_t{block} * block_tokens_, block_tokens_), now(),
                          random_());
      writes_.push_back({.id = parent, .bytes = std::move(bytes)});
      ++block;
    }
  }
  changed_.notify_all();
}

void DiskCache::pin(const DiskKey& scope, std::span<const TokenId> tokens,
                    std::chrono::seconds ttl) {
  if (ttl.count() <= 0) return;
  {
    const std::scoped_lock lock(mutex_);
    if (is_closing_) return;
    const auto ids = index_.find(scope, tokens, now());
    if (ids.empty()) return;
    const auto seconds = static_cast<std::uint64_t>(ttl.count());
    index_.pin(ids.back(), now() + std::min(seconds, DiskIndex::kPinSecondsMax));
    if (new_pins_.size() < kNewPinsMax) new_pins_.push_back(ids.back());
  }
  changed_.notify_all();
}

bool DiskCache::begin_restore(const DiskKey& scope, std::span<const TokenId> tokens,
                              std::uint32_t first_block) {
  {
    const std::scoped_lock lock(mutex_);
    restore_.reset();
    if (is_reading_ || is_closing_) return false;
    auto ids = index_.find(scope, tokens, now());
    std::erase_if(ids, [this](std::uint64_t id) { return !index_.get(id)->place; });
    if (ids.size() <= first_block) return false;
    ids.erase(ids.begin(), ids.begin() + first_block);
    ++restores_;
    restore_.emplace(std::move(ids));
  }
  changed_.notify_all();
  return true;
}

DiskCache::Restored DiskCache::take_restored() {
  Restored restored;
  {
    const std::scoped_lock lock(mutex_);
    if (!restore_) return restored;
    restored.blocks = std::exchange(restore_->ready, {});
    restored.is_over = restore_->is_over();
    restored.was_damaged = restore_->was_damaged;
  }
  changed_.notify_all();
  return restored;
}

bool DiskCache::is_reading() const {
  const std::scoped_lock lock(mutex_);
  return is_reading_;
}

void DiskCache::end_restore() {
  const std::scoped_lock lock(mutex_);
  restore_.reset();
}

DiskCache::Counts DiskCache::counts() const {
  const std::scoped_lock lock(mutex_);
  Counts counts = counts_;
  counts.blocks = index_.stored_blocks();
  counts.pinned_blocks = index_.pinned_blocks();
  return counts;
}

bool DiskCache::can_read() const {
  return restore_ && !restore_->is_over() &&
         restore_->ready.size() * block_bytes_ < options_.queue_bytes_max;
}

bool DiskCache::has_work() const { return can_read() || !writes_.empty() || !new_pins_.empty(); }

void DiskCache::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_stopping_ || is_closing_ || has_work(); });
    if (is_stopping_ || (is_closing_ && writes_.empty())) return;
    // Somebody waits for what is read, nobody for what is written.
    if (can_read()) {
      read_next(lock);
    } else if (!writes_.empty()) {
      write_next(lock);
    } else {
      write_next_pin(lock);
    }
    changed_.notify_all();
  }
}

void DiskCache::read_next(std::unique_lock<std::mutex>& lock) {
  const std::uint64_t restore = restores_;
  const std::uint64_t id = restore_->ids[restore_->next];
  const DiskIndex::Block* block = index_.get(id);
  const auto place = block ? block->place : std::nullopt;
  const std::uint64_t checksum = block ? block->entry.checksum : 0;
  is_reading_ = true;
  lock.unlock();
  std::shared_ptr<std::byte[]> bytes = place ? make_block(block_bytes_) : nullptr;
  bool is_damaged = false;
  if (bytes) {
    const std::span<std::byte> all(bytes.get(), block_bytes_);
    const auto read = pool_.read(*place, all);
    is_damaged = !read || xxh64(all) != checksum;
    if (is_damaged) {
      LOG_WARNING("prefix cache: a block is damaged on disk and computed anew{}{}",
                  read ? "" : ": ", read ? "" : read.error().message);
    }
  }
  lock.lock();
  is_reading_ = false;
  if (is_damaged) {
    ++counts_.failed_blocks;
    forget(id);
  }
  const bool is_wanted = restore_ && restores_ == restore;
  if (!is_wanted) return;
  if (bytes && !is_damaged) {
    ++counts_.read_blocks;
    ++restore_->next;
    restore_->ready.push_back(std::move(bytes));
  } else {
    restore_->ids.resize(restore_->next);
    restore_->was_damaged = is_damaged;
  }
  lock.unlock();
  if (on_news_) on_news_();
  lock.lock();
}

/// The slots are free at once: what is written there next replaces their entries.
void DiskCache::forget(std::uint64_t id) {
  for (const DiskPlace place : index_.remove(id)) pool_.give_back(place);
}

void DiskCache::write_next(std::unique_lock<std::mutex>& lock) {
  const Write write = std::move(writes_.front());
  writes_.pop_front();
  const DiskIndex::Block* block = index_.get(write.id);
  if (!block) return;  // What it hangs on was not written.
  SegmentEntry entry = block->entry;
  is_writing_ = true;
  const auto place = place_for_block(lock);
  lock.unlock();
  Result<void> written = std::unexpected(disk_full("no slot is free"));
  if (place) {
    const std::span<const std::byte> bytes(write.bytes.get(), block_bytes_);
    entry.checksum = xxh64(bytes);
    written = pool_.write(*place, entry, bytes);
    if (!written && !std::exchange(has_warned_, true)) {
      LOG_WARNING("prefix cache: blocks are not written: {}", describe(written.error()));
    }
  }
  lock.lock();
  is_writing_ = false;
  const bool is_known = index_.get(write.id) != nullptr;
  if (written && is_known) {
    index_.set_stored(write.id, *place, entry.checksum);
    ++counts_.written_blocks;
    return;
  }
  ++counts_.failed_blocks;
  if (is_known) forget(write.id);
  // A slot whose write failed is tried again last.
  if (place) pool_.give_back_last(*place);
}

/// At once, not at the end alone: a process that is killed keeps its pins.
void DiskCache::write_next_pin(std::unique_lock<std::mutex>& lock) {
  const DiskIndex::Block* block = index_.get(new_pins_.front());
  new_pins_.pop_front();
  if (!block || !block->place) return;  // Evicted, or not written.
  const DiskPlace place = *block->place;
  const SegmentEntry entry = block->entry;
  is_writing_ = true;
  lock.unlock();
  // Where this fails, the end writes it once more.
  static_cast<void>(pool_.write_entry(place, entry));
  lock.lock();
  is_writing_ = false;
}

/// An empty slot, a new segment's, or the one that was not used for longest and is not pinned.
std::optional<DiskPlace> DiskCache::place_for_block(std::unique_lock<std::mutex>& lock) {
  index_.expire_pins(now());
  if (const auto place = pool_.take_free()) return place;
  if (blocks_until_growth_ > 0) {
    --blocks_until_growth_;
  } else if (grow(lock)) {
    return pool_.take_free();
  }
  const auto weakest = index_.weakest();
  if (!weakest) return std::nullopt;
  ++counts_.evictions;
  forget(*weakest);
  return pool_.take_free();
}

bool DiskCache::grow(std::unique_lock<std::mutex>& lock) {
  const auto weakest = index_.weakest();
  const std::uint64_t oldest_use = weakest ? index_.get(*weakest)->entry.last_use : now();
  lock.unlock();
  const auto grown = pool_.grow(oldest_use);
  const std::uint64_t size = pool_.size_bytes();
  if (!grown) {
    blocks_until_growth_ = kBlocksBetweenGrowth;
    LOG_VERBOSE("prefix cache: {}", describe(grown.error()));
  }
  lock.lock();
  counts_.size_bytes = size;
  return grown.has_value();
}

void DiskCache::close(Deadline deadline) {
  if (!thread_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    is_closing_ = true;
    restore_.reset();
    new_pins_.clear();  // Written below, with all that changed.
    changed_.notify_all();
    const auto is_done = [this] { return writes_.empty() && !is_writing_; };
    if (deadline.is_unreachable()) {
      changed_.wait(lock, is_done);
    } else {
      changed_.wait_until(lock, deadline.at(), is_done);
    }
    is_stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
  write_touched(deadline);
}

/// What was used when, so that the next start evicts in the right order. The thread is gone.
void DiskCache::write_touched(Deadline deadline) {
  for (const auto& [place, entry] : index_.take_touched()) {
    if (deadline.has_passed() || !pool_.write_entry(place, entry)) return;
  }
}

bool DiskCache::wait_until_idle(Deadline deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline.at(),
                             [this] { return !has_work() && !is_writing_ && !is_reading_; });
}

Result<void> DiskCache::check_invariants() const {
  const std::scoped_lock lock(mutex_);
  return index_.check_invariants();
}

}  // namespace onnxlocal
