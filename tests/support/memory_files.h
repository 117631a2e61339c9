#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/block_file.h"

namespace onnxlocal {

/// Files in memory, for tests: a disk that breaks at a given write, or is looked into.
/// Any thread; outlives the files it opened.
class MemoryFiles {
 public:
  Result<std::unique_ptr<BlockFile>> open(const std::filesystem::path& path, BlockFileMode mode) {
    const std::scoped_lock lock(mutex_);
    const bool is_there = files_.contains(path.string());
    if (is_there == (mode == BlockFileMode::kCreate)) {
      return std::unexpected(is_there ? internal_error("it is there")
                                      : not_found("it is not there"));
    }
    return std::make_unique<File>(*this, path.string(), &files_[path.string()]);
  }
  BlockFileOpener opener() {
    return [this](const auto& path, BlockFileMode mode) { return open(path, mode); };
  }

  /// One thread at a time from here on.
  std::vector<std::byte>& bytes(const std::string& path) { return files_.at(path); }
  void remove(const std::string& path) { files_.erase(path); }
  /// The n-th write from now on fails after half of its bytes (1 is the next one).
  void fail_write(std::size_t n) { writes_left_ = n; }

 private:
  struct File final : BlockFile {
    File(MemoryFiles& owner, std::string path, std::vector<std::byte>* held)
        : files(owner), name(std::move(path)), bytes(held) {}
    Result<void> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
      const std::scoped_lock lock(files.mutex_);
      if (offset > bytes->size() || out.size() > bytes->size() - offset) {
        return std::unexpected(internal_error("the file ends before"));
      }
      std::copy_n(bytes->begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
      return {};
    }
    Result<void> write_at(std::uint64_t offset, std::span<const std::byte> in) override {
      const std::scoped_lock lock(files.mutex_);
      const bool fails = files.writes_left_ > 0 && --files.writes_left_ == 0;
      if (fails) in = in.first(in.size() / 2);
      if (offset + in.size() > bytes->size()) {
        bytes->resize(offset + in.size());
      }
      std::ranges::copy(in, bytes->begin() + static_cast<std::ptrdiff_t>(offset));
      if (fails) return std::unexpected(internal_error("the write was told to fail"));
      return {};
    }
    Result<void> reserve(std::uint64_t size) override {
      const std::scoped_lock lock(files.mutex_);
      bytes->resize(size);
      return {};
    }
    Result<std::uint64_t> size_bytes() const override {
      const std::scoped_lock lock(files.mutex_);
      return bytes->size();
    }
    MemoryFiles& files;
    std::string name;
    std::vector<std::byte>* bytes;
  };

  std::mutex mutex_;
  std::map<std::string, std::vector<std::byte>> files_;  ///< A map: places stay.
  std::size_t writes_left_ = 0;                          ///< Until one fails; 0: none does.
};

}  // namespace onnxlocal
