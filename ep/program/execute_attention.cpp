// Attention: what its caches must look like, queries and keys in their positions, rows into caches.
#include <algorithm>
#include <array>
#include <cstring>

#include "cpu/number_formats.h"
#include "graph/text.h"
#include "program/executor.h"

namespace onnxlocal::ep {

namespace {

ForeignCache::Number number_of(ElementType type) {
  return type == ElementType::kFloat16 ? ForeignCache::Number::kFloat16
                                       : ForeignCache::Number::kFloat32;
}

/// Writes numbers in a cache's type.
void write_numbers(const float* from, std::size_t count, ElementType type, std::byte* to) {
  if (type == ElementType::kFloat32) {
    std::memcpy(to, from, count * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto half = to_f16(from[i]);
    std::memcpy(to + i * sizeof half, &half, sizeof half);
  }
}

}  // namespace

const RotaryTables& Executor::tables_of(const Rotary& rotary) const {
  if (rotary.condition == kNone) return rotary.tables;
  const auto& condition = integers_[static_cast<std::size_t>(rotary.condition)];
  const bool holds = condition.count() > 0 && condition.at(0) != 0;
  return holds ? rotary.tables : rotary.otherwise;
}

Executor::Problem Executor::check_attention(const Attention& attention,
                                            std::span<const RunInput> inputs) const {
  const auto& batch = batches_[static_cast<std::size_t>(attention.sequences)];
  const auto positions = tables_of(attention.rotary).positions;
  if (attention.rotary && batch.longest > positions) {
    return text("position ", batch.longest - 1, " is beyond the rotary table of ", positions,
                " positions");
  }
  if (attention.past_key == kNone) {
    const bool has_past =
        attention.pages == kNone &&
        std::ranges::any_of(batch.sequences, [](const auto& rows) { return rows.past > 0; });
    if (has_past) return "lengths speak of past tokens, and there is no past";
    return std::nullopt;
  }
  const auto& sequences = program_.sequences[static_cast<std::size_t>(attention.sequences)];
  const auto count = spaces_[static_cast<std::size_t>(sequences.space)].dims[0];
  const auto& key = inputs[static_cast<std::size_t>(attention.past_key)];
  const auto& value = inputs[static_cast<std::size_t>(attention.past_value)];
  const auto& shape = attention.shape;
  const bool fits = key.dims.size() == 4 && std::ranges::equal(key.dims, value.dims) &&
                    key.dims[0] == count && key.dims[1] == shape.kv_heads &&
                    key.dims[3] == shape.head_dim;
  if (!fits) {
    return text("the caches '", program_.inputs[static_cast<std::size_t>(attention.past_key)], "' ",
                dims_text(key.dims), " and ", dims_text(value.dims), " are not [", count, ", ",
                shape.kv_heads, ", tokens, ", shape.head_dim, "]");
  }
  for (const auto& rows : batch.sequences) {
    if (rows.past > key.dims[2]) {
      return text("a sequence has ", rows.past, " past tokens, its cache ", key.dims[2]);
    }
  }
  return std::nullopt;
}

/// The outputs of one layer: the inputs' own memory, or as large as the tokens ask for; then what
/// was there before is copied.
Executor::Problem Executor::prepare_caches(const Attention& attention,
                                           std::span<const RunInput> inputs, RunOutputs& outputs) {
  const auto& batch = batches_[static_cast<std::size_t>(attention.sequences)];
  const auto& sequences = program_.sequences[static_cast<std::size_t>(attention.sequences)];
  const auto& shape = attention.shape;
  const auto count = spaces_[static_cast<std::size_t>(sequences.space)].dims[0];
  const auto past_capacity = attention.past_key == kNone
                                 ? 0
                                 : inputs[static_cast<std::size_t>(attention.past_key)].dims[2];
  const auto capacity = std::max(past_capacity, static_cast<std::int64_t>(batch.total));
  const std::array<std::int64_t, 4> dims = {count, shape.kv_heads, capacity, shape.head_dim};
  const std::size_t token_bytes = shape.head_dim * element_bytes(attention.cache_type);
  const std::array pairs = {std::pair(attention.past_key, attention.present_key),
                            std::pair(attention.past_value, attention.present_value)};
  for (const auto& [past, present] : pairs) {
    if (auto problem = allocate(outputs, present, dims)) return problem;
    auto* to = outputs_[static_cast<std::size_t>(present)];
    if (past == kNone) continue;
    const auto* from = static_cast<const std::byte*>(inputs[static_cast<std::size_t>(past)].data);
    // A cache that grows begins with none at all.
    if (from == to || from == nullptr) continue;
    for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
      for (std::size_t head = 0; head < shape.kv_heads; ++head) {
        const std::size_t line = i * shape.kv_heads + head;
        std::memcpy(to + line * static_cast<std::size_t>(capacity) * token_bytes,
                    from + line * static_cast<std::size_t>(past_capacity) * token_bytes,
                    batch.sequences[i].past * token_bytes);
      }
    }
  }
  return std::nullopt;
}

void Executor::attend(const Instruction& instruction) {
  const auto& attention = program_.attentions[static_cast<std::size_t>(instruction.attention)];
  if (attention.rotary || attention.q_norm != kNone) norm_and_rotate(instruction, attention);
  if (attention.pages == kNone) {
    write_rows(instruction, attention);
    attend_caches(instruction, attention);
    return;
  }
  const auto& batch = batches_[static_cast<std::size_t>(attention.sequences)];
  const auto& known = caches_[static_cast<std::size_t>(attention.pages)];
  const auto layer_bytes =
      program_.page_caches[static_cast<std::size_t>(attention.pages)].layer_bytes;
  const PagedCache cache{.pages = known.pages,
                         .page_bytes = known.page_bytes,
                         .layer_offset = attention.layer * layer_bytes};
  append_to_pages(attention_kernels_, pool_, attention.shape, cache, batch.sequences,
                  at(instruction.b), at(instruction.c));
  attend_pages(attention_kernels_, pool_, attention.shape, cache, batch.sequences,
               at(instruction.a), at(instruction.out), attention_scratch_);
}

/// In place: nobody reads queries and keys afterwards (plan.h holds that).
void Executor::norm_and_rotate(const Instruction& instruction, const Attention& attention) {
  const auto& batch = batches_[static_cast<std::size_t>(attention.sequences)];
  const auto& shape = attention.shape;
  const auto& rotary = attention.rotary;
  const auto& tables = tables_of(rotary);
  const auto* cos = rotary ? weights_.vector(tables.cos) : nullptr;
  const auto* sin = rotary ? weights_.vector(tables.sin) : nullptr;
  const auto treat = [&](float* row, std::size_t heads, Index norm, std::size_t position) {
    const auto* weights = norm == kNone ? nullptr : weights_.vector(norm);
    for (std::size_t i = 0; i < heads; ++i) {
      float* head = row + i * shape.head_dim;
      if (weights != nullptr) {
        row_kernels_.rms_norm(head, weights, attention.norm_epsilon, shape.head_dim, head);
      }
      if (!rotary) continue;
      row_kernels_.rotate(head, cos + position * rotary.half, sin + position * rotary.half,
                          rotary.half, rotary.is_interleaved);
    }
  };
  const auto q = at(instruction.a);
  const auto k = at(instruction.b);
  const std::size_t width = (shape.heads + shape.kv_heads) * std::size_t{shape.head_dim};
  for_rows(batch.positions.size(), width, [&](std::size_t row) {
    const auto position = static_cast<std::size_t>(batch.positions[row]);
    treat(q.row(row), shape.heads, attention.q_norm, position);
    treat(k.row(row), shape.kv_heads, attention.k_norm, position);
  });
}

/// The rows' keys and values into [batch, kv_heads, capacity, head_dim].
void Executor::write_rows(const Instruction& instruction, const Attention& attention) {
  const auto& batch = batches_[static_cast<std::size_t>(attention.sequences)];
  const auto& shape = attention.shape;
  const auto past_capacity = attention.past_key == kNone
                                 ? 0
                                 : inputs_[static_cast<std::size_t>(attention.past_key)].dims[2];
  const auto capacity = std::max(static_cast<std::size_t>(past_capacity), batch.total);
  const std::size_t token_bytes = shape.head_dim * element_bytes(attention.cache_type);
  auto* keys = outputs_[static_cast<std::size_t>(attention.present_key)];
  auto* values = outputs_[static_cast<std::size_t>(attention.present_value)];
  const auto k = at(instruction.b);
  const auto v = at(instruction.c);
  foreign_.clear();
  for (std::size_t i = 0; i < batch.sequences.size(); ++i) {
    const auto& rows = batch.sequences[i];
    const std::size_t first = i * shape.kv_heads * capacity * token_bytes;
    foreign_.push_back({.first_row = rows.first_row,
                        .rows = rows.rows,
                        .past = rows.past,
                        .cache = {.type = number_of(attention.cache_type),
                                  .keys = keys + first,
                                  .values = values + first,
                                  .head_stride = capacity * token_bytes,
                                  .token_stride = token_bytes,
                                  .block_stride = 0,
                                  .block_tokens = 0,
                                  .blocks = nullptr}});
  }
  if (batch.sequences.empty()) return;
  const std::size_t each = batch.sequences.front().rows;
  for_rows(
      batch.positions.size(), 2 * shape.kv_heads * std::size_t{shape.head_dim},
      [&](std::size_t row) {
        const std::size_t sequence = row / each;
        const auto position = static_cast<std::size_t>(batch.positions[row]);
        for (std::size_t head = 0; head < shape.kv_heads; ++head) {
          const std::size_t line = sequence * shape.kv_heads + head;
          const std::size_t place = (line * capacity + position) * token_bytes;
          const std::size_t column = head * shape.head_dim;
          write_numbers(k.row(row) + column, shape.head_dim, attention.cache_type, keys + place);
          write_numbers(v.row(row) + column, shape.head_dim, attention.cache_type, values + place);
        }
      });
}

void Executor::attend_caches(const Instruction& instruction, const Attention& attention) {
  attend_foreign(attention_kernels_, pool_, attention.shape, foreign_, at(instruction.a),
                 at(instruction.out), attention_scratch_);
}

}  // namespace onnxlocal::ep
