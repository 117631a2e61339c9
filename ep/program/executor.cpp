#include "program/executor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "graph/text.h"

namespace onnxlocal::ep {

Executor::Executor(Program program, std::vector<Slot> slots, Weights weights,
                   const ProgramEnvironment& environment)
    : program_(std::move(program)),
      slots_(std::move(slots)),
      weights_(std::move(weights)),
      pool_(environment.pool),
      matrices_(matrix_kernels(environment.set)),
      row_kernels_(row_kernels(environment.set)),
      attention_kernels_(attention_kernels(environment.set)),
      profile_(environment.profile) {}

std::optional<std::string> Executor::run(std::span<const RunInput> inputs, RunOutputs& outputs) {
  if (auto problem = check_inputs(inputs)) return problem;
  inputs_ = inputs;
  if (auto problem = run_integers(program_, inputs, integers_)) return problem;
  if (auto problem = run_spaces(program_, inputs, integers_, spaces_)) return problem;
  if (auto problem = prepare_sequences(inputs)) return problem;
  for (const auto& attention : program_.attentions) {
    if (auto problem = check_attention(attention, inputs)) return problem;
  }
  if (auto problem = allocate_outputs(outputs)) return problem;
  caches_.resize(program_.page_caches.size());
  for (std::size_t i = 0; i < caches_.size(); ++i) {
    if (auto problem = prepare_page_cache(program_.page_caches[i], inputs, outputs, caches_[i])) {
      return problem;
    }
  }
  for (const auto& attention : program_.attentions) {
    if (attention.pages != kNone) continue;
    if (auto problem = prepare_caches(attention, inputs, outputs)) return problem;
  }
  if (auto problem = place_buffers()) return problem;
  profile_.count_run(spaces_.empty() ? 0 : spaces_.front().rows);
  for (const auto& instruction : program_.instructions) {
    Problem problem;
    profile_.measure(instruction.op, [&] { problem = execute(instruction); });
    if (problem) return problem;
  }
  return std::nullopt;
}

Executor::Problem Executor::check_inputs(std::span<const RunInput> inputs) const {
  if (inputs.size() != program_.inputs.size()) {
    return text(inputs.size(), " inputs, expected ", program_.inputs.size());
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto count = element_count(inputs[i].dims);
    if (inputs[i].type != program_.input_types[i]) {
      return text("the input '", program_.inputs[i], "' has another type than the graph says");
    }
    if (!count || (*count > 0 && inputs[i].data == nullptr)) {
      return text("the input '", program_.inputs[i], "' of shape ", dims_text(inputs[i].dims),
                  " has no memory");
    }
  }
  return std::nullopt;
}

Executor::Problem Executor::prepare_sequences(std::span<const RunInput> inputs) {
  std::size_t page_count = SIZE_MAX;
  for (const auto& cache : program_.page_caches) {
    const auto dims = inputs[static_cast<std::size_t>(cache.input)].dims;
    if (dims.size() != 2)
      return text("pages of shape ", dims_text(dims), " are not [pages, bytes]");
    page_count = std::min(page_count, static_cast<std::size_t>(dims[0]));
  }
  batches_.resize(program_.sequences.size());
  for (std::size_t i = 0; i < batches_.size(); ++i) {
    const auto& sequences = program_.sequences[i];
    const auto& rows = spaces_[static_cast<std::size_t>(sequences.space)];
    if (auto problem = read_sequences(sequences, rows, integers_, page_count, batches_[i])) {
      return problem;
    }
  }
  return std::nullopt;
}

Executor::Problem Executor::allocate(RunOutputs& outputs, Index index,
                                     std::span<const std::int64_t> dims) {
  const auto slot = static_cast<std::size_t>(index);
  outputs_[slot] = static_cast<std::byte*>(outputs.allocate(slot, dims));
  if (outputs_[slot] == nullptr && element_count(dims).value_or(0) > 0) {
    return text("no memory for the output '", program_.outputs[slot], "' of shape ",
                dims_text(dims));
  }
  return std::nullopt;
}

Executor::Problem Executor::allocate_outputs(RunOutputs& outputs) {
  outputs_.assign(program_.outputs.size(), nullptr);
  std::vector<std::int64_t> dims;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (program_.output_spaces[i] == kNone) continue;
    dims = spaces_[static_cast<std::size_t>(program_.output_spaces[i])].dims;
    dims.push_back(program_.output_widths[i]);
    if (auto problem = allocate(outputs, static_cast<Index>(i), dims)) return problem;
  }
  return std::nullopt;
}

Executor::Problem Executor::prepare_page_cache(const PageCache& cache,
                                               std::span<const RunInput> inputs,
                                               RunOutputs& outputs, Cache& prepared) {
  const auto& input = inputs[static_cast<std::size_t>(cache.input)];
  prepared.page_count = static_cast<std::size_t>(input.dims[0]);
  prepared.page_bytes = static_cast<std::size_t>(input.dims[1]);
  const std::size_t needed = cache.layers * cache.layer_bytes;
  if (prepared.page_bytes < needed) {
    return text("pages of ", prepared.page_bytes, " bytes: ", cache.layers, " layers need ",
                needed);
  }
  if (auto problem = allocate(outputs, cache.output, input.dims)) return problem;
  prepared.pages = outputs_[static_cast<std::size_t>(cache.output)];
  const std::size_t bytes = prepared.page_count * prepared.page_bytes;
  if (prepared.pages != input.data && bytes > 0) {
    std::memcpy(prepared.pages, input.data, bytes);
  }
  return std::nullopt;
}

/// Slots lie one after the other, each as long as this run's rows ask for.
Executor::Problem Executor::place_buffers() {
  slot_offsets_.resize(slots_.size());
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const auto rows = spaces_[static_cast<std::size_t>(slots_[i].space)].rows;
    slot_offsets_[i] = bytes;
    const std::size_t wanted = slots_[i].terms > 0
                                   ? quantized_rows_bytes(rows, slots_[i].width, slots_[i].terms)
                                   : rows * slots_[i].width * sizeof(float);
    bytes += (wanted + 63) / 64 * 64;
  }
  auto* memory = scratch_.ensure(bytes);
  if (memory == nullptr) return text("no memory for ", bytes, " bytes of intermediate results");
  buffers_.resize(program_.buffers.size());
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    const auto& buffer = program_.buffers[i];
    if (buffer.output != kNone) {
      buffers_[i] = outputs_[static_cast<std::size_t>(buffer.output)];
    } else if (buffer.slot != kNone) {
      buffers_[i] = memory + slot_offsets_[static_cast<std::size_t>(buffer.slot)];
    }
  }
  return std::nullopt;
}

Executor::Problem Executor::execute(const Instruction& instruction) {
  switch (instruction.op) {
    case Op::kEmbed: return embed(instruction);
    case Op::kLoad: return load(instruction);
    case Op::kGather: return gather(instruction);
    case Op::kRotate: return rotate(instruction);
    case Op::kNorm:
    case Op::kAddNorm: norm(instruction); break;
    case Op::kLayerNorm: layer_norm(instruction); break;
    case Op::kQuantize:
      quantize_rows(matrices_, pool_, at(instruction.a), quantized_at(instruction.out));
      break;
    case Op::kProduct: product(instruction); break;
    case Op::kGatedProduct: gated_product(instruction); break;
    case Op::kAttention: attend(instruction); break;
    case Op::kStore: store(instruction); break;
    case Op::kGate:
    case Op::kAdd:
    case Op::kMultiply:
    case Op::kAddVector:
    case Op::kMultiplyVector:
    case Op::kScale:
    case Op::kActivate:
    case Op::kSoftcap: elementwise(instruction); break;
    case Op::kSigmoid: return "a Sigmoid was not fused";
  }
  return std::nullopt;
}

}  // namespace onnxlocal::ep
