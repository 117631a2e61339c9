// What fusing leaves of the tiny decoders of all exporters.
#include "program/fuse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "program/lowering.h"
#include "program/tiny_models.h"

namespace onnxlocal::ep::testing {
namespace {

Program fused(const TinyModel& model) {
  GraphBuilder builder;
  model.build(builder);
  auto program = Lowering(builder.graph()).run();
  if (!program) {
    ADD_FAILURE() << program.error();
    return {};
  }
  EXPECT_EQ(fuse(*program), "");
  return *std::move(program);
}

/// 8-bit terms of the inputs of all products: of the output matrix, known by its width, and of the
/// others.
struct Terms {
  std::vector<int> output;
  std::vector<int> others;
};
Terms terms_of(const Program& program, const TinyModel& model) {
  Terms terms;
  for (const Instruction& instruction : program.instructions) {
    if (instruction.op != Op::kProduct && instruction.op != Op::kGatedProduct) continue;
    const bool is_output = instruction.out.width == model.vocabulary;
    const auto input = static_cast<std::size_t>(instruction.a.buffer);
    (is_output ? terms.output : terms.others).push_back(program.buffers[input].terms);
  }
  return terms;
}

class Refinement : public ::testing::TestWithParam<Named> {};

TEST_P(Refinement, GivesTheOutputMatrixTwoTermsAndNoOtherProduct) {
  for (const bool is_paged : {false, true}) {
    TinyModel model = GetParam().model;
    model.is_paged = is_paged;
    const Terms terms = terms_of(fused(model), model);
    EXPECT_THAT(terms.output, ::testing::ElementsAre(2));
    EXPECT_THAT(terms.others,
                ::testing::AllOf(::testing::Not(::testing::IsEmpty()), ::testing::Each(1)));
  }
}

INSTANTIATE_TEST_SUITE_P(Exporters, Refinement, ::testing::ValuesIn(tiny_models()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(RefinementOfPickedRows, GivesTheOutputMatrixTwoTermsAlone) {
  for (const TinyModel& model :
       {TinyModel{.takes_last_row = true}, TinyModel{.takes_wanted_rows = true}}) {
    const Terms terms = terms_of(fused(model), model);
    EXPECT_THAT(terms.output, ::testing::ElementsAre(2));
    EXPECT_THAT(terms.others, ::testing::Each(1));
  }
}

}  // namespace
}  // namespace onnxlocal::ep::testing
