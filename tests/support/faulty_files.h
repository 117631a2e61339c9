#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include "base/block_file.h"

namespace onnxlocal {

/// Real files on a disk that is told to fail, or to hang. Any thread; outlives the files it opened.
class FaultyFiles {
 public:
  BlockFileOpener opener() {
    return [this](const std::filesystem::path& path,
                  BlockFileMode mode) -> Result<std::unique_ptr<BlockFile>> {
      TRY(auto file, open_block_file(path, mode));
      return std::make_unique<File>(*this, std::move(file));
    };
  }

  std::atomic<bool> is_full = false;  ///< Nothing more is written.
  std::atomic<bool> fails_reads = false;
  std::atomic<int> writes_until_full = -1;  ///< Then the disk is full; negative: never.

  void hang_reads() { set_hanging(true); }
  void go_on() { set_hanging(false); }
  ~FaultyFiles() { go_on(); }

 private:
  struct File final : BlockFile {
    File(FaultyFiles& owner, std::unique_ptr<BlockFile> real)
        : disk(owner), file(std::move(real)) {}
    Result<void> read_at(std::uint64_t offset, std::span<std::byte> bytes) const override {
      {
        std::unique_lock lock(disk.mutex_);
        disk.changed_.wait(lock, [this] { return !disk.is_hanging_; });
      }
      if (disk.fails_reads) return std::unexpected(internal_error("a read was told to fail"));
      return file->read_at(offset, bytes);
    }
    Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
      if (disk.writes_until_full == 0) disk.is_full = true;
      if (disk.writes_until_full > 0) --disk.writes_until_full;
      if (disk.is_full) {
        static_cast<void>(file->write_at(offset, bytes.first(bytes.size() / 2)));
        return std::unexpected(disk_full("a write was told to fail"));
      }
      return file->write_at(offset, bytes);
    }
    Result<void> reserve(std::uint64_t size) override {
      if (disk.is_full) return std::unexpected(disk_full("there is no room"));
      return file->reserve(size);
    }
    Result<std::uint64_t> size_bytes() const override { return file->size_bytes(); }
    FaultyFiles& disk;
    std::unique_ptr<BlockFile> file;
  };

  void set_hanging(bool is_hanging) {
    {
      const std::scoped_lock lock(mutex_);
      is_hanging_ = is_hanging;
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_hanging_ = false;
};

}  // namespace onnxlocal
