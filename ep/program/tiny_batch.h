#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "attention/attention.h"
#include "program/tiny_run.h"

namespace onnxlocal::ep::testing {

/// Runs a model over GroupQueryAttention's caches, step by step.
class CacheRun {
 public:
  /// `capacity`: of buffers that go in and come out; 0: each run makes longer ones.
  explicit CacheRun(TinyProgram& program, std::int64_t capacity = 0)
      : program_(program), capacity_(capacity) {}
  std::size_t past() const { return past_; }
  Tensors& tensors() { return tensors_; }

  /// All sequences go on by as many tokens. `lengths`: of those that are shorter, in a first step.
  /// Returns the logits of all rows.
  std::vector<float> step(const std::vector<std::span<const std::int64_t>>& tokens,
                          const std::vector<std::size_t>& lengths = {}) {
    prepare(tokens, lengths);
    std::map<std::string, std::string> shared;
    for (std::int64_t i = 0; i < program_.model.layers; ++i) {
      for (const std::string kind : {"_key.", "_value."}) {
        const auto past = "past" + kind + std::to_string(i);
        const auto present = "present" + kind + std::to_string(i);
        if (capacity_ > 0) {
          shared[present] = past;
        } else if (past_ > 0) {
          tensors_[past] = tensors_[present];
        }
      }
    }
    if (const auto problem = program_.run(tensors_, shared)) ADD_FAILURE() << *problem;
    past_ += tokens.front().size();
    return tensors_["logits"].floats();
  }

  void prepare(const std::vector<std::span<const std::int64_t>>& tokens,
               const std::vector<std::size_t>& lengths) {
    const auto batch = static_cast<std::int64_t>(tokens.size());
    const auto rows = static_cast<std::int64_t>(tokens.front().size());
    const auto total = static_cast<std::int64_t>(past_) + rows;
    Tokens ids;
    Tokens positions;
    Tokens mask;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      ids.insert(ids.end(), tokens[i].begin(), tokens[i].end());
      const auto length = lengths.empty() ? total : static_cast<std::int64_t>(lengths[i]);
      for (std::int64_t j = 0; j < total; ++j) mask.push_back(j < length ? 1 : 0);
      for (std::int64_t j = 0; j < rows; ++j) {
        positions.push_back(static_cast<std::int64_t>(past_) + j);
      }
    }
    tensors_["input_ids"] = Owned::of(ElementType::kInt64, {batch, rows}, ids);
    tensors_["attention_mask"] = Owned::of(ElementType::kInt64, {batch, total}, mask);
    tensors_["position_ids"] = Owned::of(ElementType::kInt64, {batch, rows}, positions);
    if (past_ > 0) return;
    const auto& model = program_.model;
    const std::vector<std::int64_t> dims = {batch, model.kv_heads, capacity_, model.head_dim};
    for (std::int64_t i = 0; i < model.layers; ++i) {
      for (const std::string kind : {"past_key.", "past_value."}) {
        auto& cache = tensors_[kind + std::to_string(i)];
        cache.type = model.cache_type;
        cache.dims = dims;
        cache.bytes.resize(*element_count(dims) * element_bytes(model.cache_type));
      }
    }
  }

 private:
  TinyProgram& program_;
  std::int64_t capacity_;
  std::size_t past_ = 0;
  Tensors tensors_;
};

/// Runs a model over pages: ragged batches of sequences.
class PagedRun {
 public:
  PagedRun(TinyProgram& program, std::int64_t pages) : program_(program) {
    const auto& model = program.model;
    const AttentionShape shape{.heads = static_cast<std::uint32_t>(model.heads),
                               .kv_heads = static_cast<std::uint32_t>(model.kv_heads),
                               .head_dim = static_cast<std::uint32_t>(model.head_dim),
                               .kv_type = *kv_type_of_bits(model.kv_bits)};
    const auto bytes = layer_page_bytes(shape) * static_cast<std::size_t>(model.layers);
    memory_.resize(static_cast<std::size_t>(pages) * bytes);
    tensors_["pages"] =
        Owned::of(ElementType::kUint8, {pages, static_cast<std::int64_t>(bytes)}, memory_);
  }
  Tensors& tensors() { return tensors_; }

  /// `pages`: in the order of their tokens.
  std::size_t add_sequence(std::vector<std::int32_t> pages) {
    sequences_.push_back({std::move(pages), 0});
    return sequences_.size() - 1;
  }

  struct Part {
    std::size_t sequence;
    std::span<const std::int64_t> tokens;
  };
  /// The logits of all rows.
  std::vector<float> step(const std::vector<Part>& parts) {
    prepare(parts);
    if (const auto problem = program_.run(tensors_, {{"pages_out", "pages"}})) {
      ADD_FAILURE() << *problem;
    }
    for (const auto& part : parts) sequences_[part.sequence].past += part.tokens.size();
    return tensors_["logits"].floats();
  }

  void prepare(const std::vector<Part>& parts) {
    Tokens ids;
    Tokens positions;
    std::vector<std::int32_t> starts = {0};
    std::vector<std::int32_t> past;
    std::size_t width = 0;
    for (const auto& part : parts) {
      width = std::max(width, sequences_[part.sequence].pages.size());
    }
    std::vector<std::int32_t> table;
    for (const auto& part : parts) {
      const auto& sequence = sequences_[part.sequence];
      ids.insert(ids.end(), part.tokens.begin(), part.tokens.end());
      for (std::size_t i = 0; i < part.tokens.size(); ++i) {
        positions.push_back(static_cast<std::int64_t>(sequence.past + i));
      }
      starts.push_back(static_cast<std::int32_t>(ids.size()));
      past.push_back(static_cast<std::int32_t>(sequence.past));
      auto pages = sequence.pages;
      pages.resize(width, -1);
      table.insert(table.end(), pages.begin(), pages.end());
    }
    const auto count = static_cast<std::int64_t>(parts.size());
    const auto rows = static_cast<std::int64_t>(ids.size());
    tensors_["input_ids"] = Owned::of(ElementType::kInt64, {1, rows}, ids);
    tensors_["position_ids"] = Owned::of(ElementType::kInt64, {1, rows}, positions);
    tensors_["sequence_starts"] = Owned::of(ElementType::kInt32, {count + 1}, starts);
    tensors_["past_lengths"] = Owned::of(ElementType::kInt32, {count}, past);
    tensors_["page_table"] =
        Owned::of(ElementType::kInt32, {count, static_cast<std::int64_t>(width)}, table);
  }

 private:
  struct Sequence {
    std::vector<std::int32_t> pages;
    std::size_t past = 0;
  };
  TinyProgram& program_;
  std::vector<std::byte> memory_;
  std::vector<Sequence> sequences_;
  Tensors tensors_;
};

}  // namespace onnxlocal::ep::testing
