#include "program/plan.h"

#include <algorithm>
#include <utility>

namespace onnxlocal::ep {

namespace {

struct Life {
  std::size_t first = 0;
  std::size_t last = 0;
  bool is_used = false;
};

std::vector<Life> lives_of(const Program& program) {
  std::vector<Life> lives(program.buffers.size());
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const auto& instruction = program.instructions[i];
    for (const auto& view : {instruction.a, instruction.b, instruction.c, instruction.out,
                             instruction.sum, instruction.quantized}) {
      if (!view) continue;
      auto& life = lives[static_cast<std::size_t>(view.buffer)];
      if (!life.is_used) life = {.first = i, .last = i, .is_used = true};
      life.last = i;
    }
  }
  return lives;
}

std::string check_in_place(const Program& program, const std::vector<Life>& lives) {
  for (std::size_t i = 0; i < program.instructions.size(); ++i) {
    const auto& instruction = program.instructions[i];
    if (instruction.op != Op::kAttention) continue;
    const auto& attention = program.attentions[static_cast<std::size_t>(instruction.attention)];
    if (!attention.rotary && attention.q_norm == kNone) continue;
    for (const auto& view : {instruction.a, instruction.b}) {
      const auto buffer = static_cast<std::size_t>(view.buffer);
      if (lives[buffer].last != i || program.buffers[buffer].output != kNone) {
        return "queries or keys of an attention that rotates them have another use";
      }
    }
  }
  return {};
}

}  // namespace

std::string plan_buffers(Program& program, std::vector<Slot>& slots) {
  const auto lives = lives_of(program);
  if (auto problem = check_in_place(program, lives); !problem.empty()) return problem;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < lives.size(); ++i) {
    if (lives[i].is_used && program.buffers[i].output == kNone) order.push_back(i);
  }
  std::ranges::sort(order, {},
                    [&](std::size_t buffer) { return std::pair(lives[buffer].first, buffer); });
  std::vector<std::size_t> free_from;  // For each slot, the instruction after its last reader.
  for (const auto index : order) {
    auto& buffer = program.buffers[index];
    // The closest in width, so that a wide slot is not held by a narrow buffer.
    Index best = kNone;
    const auto distance = [&](Index slot) {
      const auto width = std::int64_t{slots[static_cast<std::size_t>(slot)].width};
      return std::abs(width - std::int64_t{buffer.width});
    };
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const auto slot = static_cast<Index>(i);
      if (slots[i].space != buffer.space || slots[i].terms != buffer.terms ||
          free_from[i] > lives[index].first) {
        continue;
      }
      if (best == kNone || distance(slot) < distance(best)) best = slot;
    }
    if (best == kNone) {
      best = static_cast<Index>(slots.size());
      slots.push_back({.space = buffer.space, .width = 0, .terms = buffer.terms});
      free_from.push_back(0);
    }
    auto& slot = slots[static_cast<std::size_t>(best)];
    slot.width = std::max(slot.width, buffer.width);
    free_from[static_cast<std::size_t>(best)] = lives[index].last + 1;
    buffer.slot = best;
  }
  return {};
}

}  // namespace onnxlocal::ep
