#include "program/fuse.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "matrix/matrix_format.h"

namespace onnxlocal::ep {

namespace {

/// Every buffer has one writer: the instructions are in single assignment form.
class Fusing {
 public:
  explicit Fusing(Program& program) : program_(program), removed_(program.instructions.size()) {
    writers_.assign(program.buffers.size(), kNone);
    readers_.assign(program.buffers.size(), 0);
    for (std::size_t i = 0; i < program.instructions.size(); ++i) {
      const auto& instruction = program.instructions[i];
      for (const auto& view : {instruction.a, instruction.b, instruction.c}) {
        if (view) ++readers_[slot(view)];
      }
      for (const auto& view : {instruction.out, instruction.sum, instruction.quantized}) {
        if (view) writers_[slot(view)] = static_cast<Index>(i);
      }
    }
    for (const auto& buffer : program.buffers) {
      if (buffer.output != kNone)
        ++readers_[static_cast<std::size_t>(&buffer - program.buffers.data())];
    }
  }

  void run() {
    for (auto pass : {&Fusing::join_silu, &Fusing::join_softcap, &Fusing::join_bias,
                      &Fusing::join_gate, &Fusing::join_gated_product, &Fusing::join_norm,
                      &Fusing::join_scaled_look_up, &Fusing::join_quantize}) {
      for (std::size_t i = 0; i < removed_.size(); ++i) {
        if (!removed_[i]) (this->*pass)(i);
      }
    }
    remove_unread();
    std::size_t next = 0;
    std::erase_if(program_.instructions, [&](const auto&) { return removed_[next++]; });
  }

 private:
  static std::size_t slot(const View& view) { return static_cast<std::size_t>(view.buffer); }
  Instruction& at(std::size_t index) { return program_.instructions[index]; }
  bool is_whole(const View& view) const { return view.width == program_.buffers[slot(view)].width; }

  /// The instruction of kind `op` that made all of the view; kNone where another did.
  Index maker(const View& view, Op op) {
    if (!view || !is_whole(view)) return kNone;
    const auto writer = writers_[slot(view)];
    if (writer == kNone || at(static_cast<std::size_t>(writer)).op != op) return kNone;
    return writer;
  }
  /// The same, where nobody else reads what it made.
  Index sole_maker(const View& view, Op op) {
    return view && readers_[slot(view)] == 1 ? maker(view, op) : kNone;
  }
  void remove(std::size_t index) {
    removed_[index] = true;
    auto& instruction = at(index);
    for (const auto& view : {instruction.a, instruction.b, instruction.c}) {
      if (view) --readers_[slot(view)];
    }
  }
  void replace_input(View& input, const View& by) {
    --readers_[slot(input)];
    input = by;
    if (by) ++readers_[slot(by)];
  }
  void take_output(std::size_t index, const View& out) {
    at(index).out = out;
    writers_[slot(out)] = static_cast<Index>(index);
  }

  /// x * sigmoid(x)
  void join_silu(std::size_t index) {
    auto& product = at(index);
    if (product.op != Op::kMultiply) return;
    if (maker(product.a, Op::kSigmoid) != kNone) std::swap(product.a, product.b);
    const auto sigmoid = maker(product.b, Op::kSigmoid);
    if (sigmoid == kNone || at(static_cast<std::size_t>(sigmoid)).a != product.a) return;
    if (readers_[slot(product.b)] == 1) remove(static_cast<std::size_t>(sigmoid));
    replace_input(product.b, {});
    product.op = Op::kActivate;
    product.activation = Activation::kSilu;
  }

  /// cap * tanh(x * (1 / cap))
  void join_softcap(std::size_t index) {
    auto& after = at(index);
    if (after.op != Op::kScale) return;
    const auto tanh = sole_maker(after.a, Op::kSoftcap);
    if (tanh == kNone || at(static_cast<std::size_t>(tanh)).number != 1) return;
    const auto before = sole_maker(at(static_cast<std::size_t>(tanh)).a, Op::kScale);
    if (before == kNone) return;
    const auto& scale = at(static_cast<std::size_t>(before));
    if (std::abs(scale.number * after.number - 1) > 1e-5F) return;
    after.op = Op::kSoftcap;
    replace_input(after.a, scale.a);
    remove(static_cast<std::size_t>(tanh));
    remove(static_cast<std::size_t>(before));
  }

  void join_bias(std::size_t index) {
    const auto& add = at(index);
    if (add.op != Op::kAddVector) return;
    const auto found = sole_maker(add.a, Op::kProduct);
    if (found == kNone) return;
    auto& product = at(static_cast<std::size_t>(found));
    if (product.vector != kNone) return;
    product.vector = add.vector;
    take_output(static_cast<std::size_t>(found), add.out);
    remove(index);
  }

  /// activation(x) * y
  void join_gate(std::size_t index) {
    auto& product = at(index);
    if (product.op != Op::kMultiply) return;
    if (sole_maker(product.a, Op::kActivate) == kNone) std::swap(product.a, product.b);
    const auto found = sole_maker(product.a, Op::kActivate);
    if (found == kNone) return;
    const auto& activate = at(static_cast<std::size_t>(found));
    product.op = Op::kGate;
    product.activation = activate.activation;
    replace_input(product.a, activate.a);
    remove(static_cast<std::size_t>(found));
  }

  /// The same where G and U are the two halves of one matrix.
  void join_halves(std::size_t index) {
    auto& gate = at(index);
    const auto writer = writers_[slot(gate.a)];
    if (gate.a.buffer != gate.b.buffer || readers_[slot(gate.a)] != 2 || writer == kNone) return;
    const auto product = at(static_cast<std::size_t>(writer));
    const bool is_halved = gate.a.width == gate.b.width &&
                           gate.a.width % MatrixFormat::kGroupRows == 0 &&
                           gate.a.offset % MatrixFormat::kGroupRows == 0 &&
                           gate.b.offset % MatrixFormat::kGroupRows == 0;
    if (product.op != Op::kProduct || product.vector != kNone || !is_halved) return;
    gate.op = Op::kGatedProduct;
    gate.matrix = product.matrix;
    gate.matrix_b = product.matrix;
    gate.matrix_row = gate.a.offset;
    gate.matrix_b_row = gate.b.offset;
    replace_input(gate.a, product.a);
    replace_input(gate.b, {});
    remove(static_cast<std::size_t>(writer));
  }

  /// activation(x G) * (x U), G and U without biases
  void join_gated_product(std::size_t index) {
    auto& gate = at(index);
    if (gate.op != Op::kGate) return;
    join_halves(index);
    if (gate.op != Op::kGate) return;
    const auto first = sole_maker(gate.a, Op::kProduct);
    const auto second = sole_maker(gate.b, Op::kProduct);
    if (first == kNone || second == kNone || first == second) return;
    const auto a = at(static_cast<std::size_t>(first));
    const auto b = at(static_cast<std::size_t>(second));
    if (a.a != b.a || a.vector != kNone || b.vector != kNone) return;
    gate.op = Op::kGatedProduct;
    gate.matrix = a.matrix;
    gate.matrix_b = b.matrix;
    replace_input(gate.a, a.a);
    replace_input(gate.b, {});
    remove(static_cast<std::size_t>(first));
    remove(static_cast<std::size_t>(second));
  }

  void join_norm(std::size_t index) {
    const auto& norm = at(index);
    if (norm.op != Op::kNorm || norm.group != norm.a.width) return;
    const auto found = maker(norm.a, Op::kAdd);
    if (found == kNone) return;
    auto& add = at(static_cast<std::size_t>(found));
    add.op = Op::kAddNorm;
    add.sum = add.out;
    add.vector = norm.vector;
    add.number = norm.number;
    take_output(static_cast<std::size_t>(found), norm.out);
    remove(index);
  }

  void join_scaled_look_up(std::size_t index) {
    const auto& scale = at(index);
    if (scale.op != Op::kScale) return;
    const auto found = sole_maker(scale.a, Op::kEmbed);
    if (found == kNone) return;
    at(static_cast<std::size_t>(found)).number *= scale.number;
    take_output(static_cast<std::size_t>(found), scale.out);
    remove(index);
  }

  /// A norm rounds each row to 8 bits while it is at hand.
  void join_quantize(std::size_t index) {
    const auto& quantize = at(index);
    if (quantize.op != Op::kQuantize) return;
    auto found = maker(quantize.a, Op::kAddNorm);
    if (found == kNone) found = maker(quantize.a, Op::kNorm);
    if (found == kNone || at(static_cast<std::size_t>(found)).quantized) return;
    // The first sum of an AddNorm is no norm.
    if (at(static_cast<std::size_t>(found)).out != quantize.a) return;
    at(static_cast<std::size_t>(found)).quantized = quantize.out;
    writers_[slot(quantize.out)] = found;
    remove(index);
  }

  void remove_unread() {
    for (std::size_t i = removed_.size(); i-- > 0;) {
      const auto& instruction = at(i);
      const bool stays = removed_[i] || instruction.op == Op::kAttention ||
                         instruction.op == Op::kStore || readers_[slot(instruction.out)] > 0 ||
                         (instruction.sum && readers_[slot(instruction.sum)] > 0) ||
                         (instruction.quantized && readers_[slot(instruction.quantized)] > 0);
      if (!stays) remove(i);
    }
  }

  Program& program_;
  std::vector<bool> removed_;
  std::vector<Index> writers_;
  std::vector<std::uint32_t> readers_;
};

}  // namespace

namespace {

/// The output matrix's input gets a second 8-bit term. Its rounding goes into the logits as it is,
/// where no norm and no residual softens it: it costs as much accuracy as all other rounding
/// together. A prompt asks for one row of logits, so the second term costs next to nothing.
void refine_last_product(Program& program) {
  const auto last = std::ranges::find(program.instructions.rbegin(), program.instructions.rend(),
                                      Op::kProduct, &Instruction::op);
  if (last == program.instructions.rend()) return;
  program.buffers[static_cast<std::size_t>(last->a.buffer)].terms = 2;
}

}  // namespace

std::string fuse(Program& program) {
  Fusing(program).run();
  refine_last_product(program);
  const bool has_sigmoid = std::ranges::any_of(
      program.instructions, [](const auto& instruction) { return instruction.op == Op::kSigmoid; });
  return has_sigmoid ? "a Sigmoid that is not part of x * sigmoid(x)" : "";
}

}  // namespace onnxlocal::ep
