#include "program/select_early.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

namespace onnxlocal::ep {

namespace {

bool is_of_single_rows(Op op) {
  switch (op) {
    case Op::kNorm:
    case Op::kAddNorm:
    case Op::kLayerNorm:
    case Op::kQuantize:
    case Op::kProduct:
    case Op::kGatedProduct:
    case Op::kGate:
    case Op::kAdd:
    case Op::kMultiply:
    case Op::kAddVector:
    case Op::kMultiplyVector:
    case Op::kScale:
    case Op::kActivate:
    case Op::kSoftcap: return true;
    default: return false;
  }
}

std::array<View, 3> read_by(const Instruction& instruction) {
  return {instruction.a, instruction.b, instruction.c};
}

std::array<View, 3> written_by(const Instruction& instruction) {
  return {instruction.out, instruction.sum, instruction.quantized};
}

class Selecting {
 public:
  Selecting(Program& program, std::size_t gather)
      : program_(program),
        gather_(gather),
        is_early_(program.instructions.size()),
        is_wanted_(program.buffers.size()) {
    const auto& instruction = program.instructions[gather];
    space_ = program.buffers[slot(instruction.out)].space;
  }

  void run() {
    find_early();
    if (std::ranges::none_of(is_early_, [](bool is_early) { return is_early; })) return;
    if (takes_shared_quantized()) return;
    std::vector<Instruction> moved;
    for (std::size_t i = 0; i < program_.instructions.size(); ++i) {
      auto instruction = program_.instructions[i];
      if (i == gather_) continue;
      if (is_early_[i]) {
        for (auto* view : {&instruction.a, &instruction.b, &instruction.c}) {
          if (*view && !is_wanted_[slot(*view)]) *view = selected(*view, moved);
        }
      }
      // Who read the gather's rows reads the rows that were computed alone.
      for (auto* view : {&instruction.a, &instruction.b, &instruction.c}) {
        const auto& gather = program_.instructions[gather_];
        if (*view && view->buffer == gather.out.buffer) {
          view->buffer = gather.a.buffer;
          view->offset += gather.a.offset;
        }
      }
      moved.push_back(instruction);
    }
    for (std::size_t i = 0; i < is_wanted_.size(); ++i) {
      if (is_wanted_[i]) program_.buffers[i].space = space_;
    }
    program_.instructions = std::move(moved);
  }

 private:
  static std::size_t slot(const View& view) { return static_cast<std::size_t>(view.buffer); }

  /// From the gather backwards: an instruction is early when all that it writes is read by the
  /// gather or by early ones alone.
  void find_early() {
    std::vector<bool> is_needed(program_.buffers.size());
    for (std::size_t i = 0; i < program_.buffers.size(); ++i) {
      is_needed[i] = program_.buffers[i].output != kNone;
    }
    for (std::size_t i = program_.instructions.size(); i-- > 0;) {
      const auto& instruction = program_.instructions[i];
      bool is_early = i < gather_ && is_of_single_rows(instruction.op);
      for (const auto& view : written_by(instruction)) {
        is_early = is_early && (!view || !is_needed[slot(view)]);
      }
      is_early_[i] = is_early;
      for (const auto& view : written_by(instruction)) {
        if (view && is_early) is_wanted_[slot(view)] = true;
      }
      if (is_early || i == gather_) continue;
      for (const auto& view : read_by(instruction)) {
        if (view) is_needed[slot(view)] = true;
      }
    }
  }

  /// Rows in 8 bits that others need too cannot be gathered.
  bool takes_shared_quantized() const {
    for (std::size_t i = 0; i < is_early_.size(); ++i) {
      if (!is_early_[i]) continue;
      for (const auto& view : read_by(program_.instructions[i])) {
        if (view && !is_wanted_[slot(view)] && program_.buffers[slot(view)].terms != 0) {
          return true;
        }
      }
    }
    return false;
  }

  /// The wanted rows of a buffer that is computed for all.
  View selected(const View& view, std::vector<Instruction>& instructions) {
    const auto [place, is_new] = selected_.try_emplace(view.buffer, View{});
    if (is_new) {
      const auto width = program_.buffers[slot(view)].width;
      program_.buffers.push_back({.width = width, .space = space_});
      place->second = {
          .buffer = static_cast<Index>(program_.buffers.size() - 1), .offset = 0, .width = width};
      auto gather = program_.instructions[gather_];
      gather.a = {.buffer = view.buffer, .offset = 0, .width = width};
      gather.out = place->second;
      instructions.push_back(gather);
    }
    return {.buffer = place->second.buffer, .offset = view.offset, .width = view.width};
  }

  Program& program_;
  std::size_t gather_;
  Index space_ = kNone;
  std::vector<bool> is_early_;
  std::vector<bool> is_wanted_;  ///< Buffers that early instructions write.
  std::map<Index, View> selected_;
};

}  // namespace

void select_early(Program& program) {
  const auto is_gather = [](const Instruction& instruction) {
    return instruction.op == Op::kGather;
  };
  const auto& instructions = program.instructions;
  const auto found = std::ranges::find_if(instructions, is_gather);
  if (found == instructions.end() || std::ranges::count_if(instructions, is_gather) != 1) return;
  const auto gather = static_cast<std::size_t>(found - instructions.begin());
  // What is gathered must be all of what an instruction before made, in rows that no output is.
  const auto& from = program.buffers[static_cast<std::size_t>(found->a.buffer)];
  const auto& to = program.buffers[static_cast<std::size_t>(found->out.buffer)];
  if (from.output != kNone || to.output != kNone) return;
  Selecting(program, gather).run();
}

}  // namespace onnxlocal::ep
