#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cpu/number_formats.h"
#include "program/compiled_program.h"
#include "program/reference.h"
#include "program/test_graph.h"
#include "threads/thread_pool.h"

namespace onnxlocal::ep::testing {

using Tokens = std::vector<std::int64_t>;

/// A tensor that owns its memory.
struct Owned {
  ElementType type = ElementType::kFloat32;
  std::vector<std::int64_t> dims;
  std::vector<std::byte> bytes;
  template <class Element>
  static Owned of(ElementType type, std::vector<std::int64_t> dims,
                  const std::vector<Element>& values) {
    Owned owned{type, std::move(dims), std::vector<std::byte>(values.size() * sizeof(Element))};
    if (!values.empty()) std::memcpy(owned.bytes.data(), values.data(), owned.bytes.size());
    return owned;
  }
  std::vector<float> floats() const {
    std::vector<float> values(bytes.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
};

using Tensors = std::map<std::string, Owned>;

/// A compiled tiny model and the tensors that go in and come out of it.
class TinyProgram {
 public:
  explicit TinyProgram(const TinyModel& model, unsigned threads = 1)
      : model(model), pool_(threads) {
    model.build(builder_);
    compile_it();
  }
  void compile_it() {
    const auto wanted = choose_instruction_set("").set;
    auto made =
        compile(builder_.graph(),
                {.pool = pool_, .set = wanted, .packed_file = {}, .profile = {}, .warn = {}});
    if (!made) {
      ADD_FAILURE() << made.error();
      return;
    }
    program_ = std::move(*made);
  }
  TinyProgram(const TinyModel& model, const std::function<void(GraphBuilder&)>& add)
      : model(model), pool_(1) {
    model.build(builder_);
    add(builder_);
    compile_it();
  }
  Graph& graph() { return builder_.graph(); }
  CompiledProgram& program() { return *program_; }

  /// Returns what was wrong; outputs replace those in `tensors`. An output whose name stands in
  /// `shared` is written in the memory of that input.
  std::optional<std::string> run(Tensors& tensors,
                                 const std::map<std::string, std::string>& shared = {}) {
    std::vector<RunInput> inputs;
    for (const auto& name : program_->inputs()) {
      const auto& tensor = tensors.at(name);
      inputs.push_back({.type = tensor.type, .dims = tensor.dims, .data = tensor.bytes.data()});
    }
    Outputs outputs(*this, tensors, shared);
    return program_->run(inputs, outputs);
  }

  TinyModel model;

 private:
  class Outputs final : public RunOutputs {
   public:
    Outputs(TinyProgram& program, Tensors& tensors,
            const std::map<std::string, std::string>& shared)
        : program_(program), tensors_(tensors), shared_(shared) {}
    void* allocate(std::size_t index, std::span<const std::int64_t> dims) override {
      const auto& name = program_.program_->outputs()[index];
      const auto& graph = program_.graph();
      const auto type = graph.values[static_cast<std::size_t>(graph.outputs[index])].type;
      const auto found = shared_.find(name);
      auto& tensor = tensors_[found == shared_.end() ? name : found->second];
      tensor.type = type;
      tensor.dims.assign(dims.begin(), dims.end());
      tensor.bytes.resize(*element_count(dims) * element_bytes(type));
      return tensor.bytes.data();
    }

   private:
    TinyProgram& program_;
    Tensors& tensors_;
    const std::map<std::string, std::string>& shared_;
  };

  GraphBuilder builder_;
  ThreadPool pool_;
  std::unique_ptr<CompiledProgram> program_;
};

inline Tokens random_tokens(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  Tokens tokens(count);
  for (auto& token : tokens) token = static_cast<std::int64_t>(random() % 70);
  return tokens;
}

/// The whole prompt's logits by the reference, [tokens][vocabulary].
inline std::vector<double> reference_logits(TinyModel model, const Tokens& tokens) {
  model.is_paged = false;
  GraphBuilder builder;
  model.build(builder);
  const auto count = static_cast<std::int64_t>(tokens.size());
  const std::vector<double> ids(tokens.begin(), tokens.end());
  std::vector<double> positions(tokens.size());
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<double>(i);
  const std::map<std::string, Tensor> inputs = {
      {"input_ids", {{1, count}, ids}},
      {"attention_mask", {{1, count}, std::vector<double>(tokens.size(), 1)}},
      {"position_ids", {{1, count}, positions}}};
  return run_reference(builder.graph(), inputs).at("logits").numbers;
}

/// Root mean square of the difference, relative to that of the wanted values.
inline double distance(std::span<const float> got, std::span<const double> wanted) {
  if (got.size() != wanted.size()) return 1e9;
  double error = 0;
  double size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double apart = static_cast<double>(got[i]) - wanted[i];
    error += apart * apart;
    size += wanted[i] * wanted[i];
  }
  const double result = std::sqrt(error / size);
  return std::isnan(result) ? 1e9 : result;
}

}  // namespace onnxlocal::ep::testing
