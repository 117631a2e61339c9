#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/prefix_cache.h"

namespace onnxlocal {

/// A block of the prefix cache, or the root of a scope. Only for the cache's own files.
struct PrefixCache::Node {
  Node* parent = nullptr;  ///< Null for a root.
  std::uint64_t serial = 0;
  std::string scope;            ///< Roots only.
  std::vector<TokenId> tokens;  ///< Of this block; empty for a root.
  CacheBlock bytes;
  std::uint32_t depth = 0;  ///< Blocks from the root; 0 for a root.
  std::uint32_t children = 0;
  std::uint32_t holders = 0;               ///< Paths that end here.
  std::uint32_t marks = 0;                 ///< Marks on this block or behind it.
  CacheRank rank = CacheRank::kAnonymous;  ///< The strongest mark that ends here.
  std::uint64_t last_use = 0;
  bool is_evictable = false;  ///< In `evictable_` of its rank, at `last_use`.
};

}  // namespace onnxlocal
