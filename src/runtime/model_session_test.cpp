// What load_decoder says of providers and models that are broken, each in its own way.

#include "runtime/model_session.h"

#include <array>
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <onnx/onnx_pb.h>

#include "model/onnx_file.h"
#include "runtime/own_provider.h"
#include "runtime/test_models.h"

namespace onnxlocal {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::feed;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ScratchFolder;
using testing::small_options;
using ::testing::StartsWith;
using testing::text_tokens;
using testing::tiny_model;
using testing::try_load;

ExecutionProviderChoice cpu() { return {.name = "cpu", .options = {}, .library = {}}; }
ExecutionProviderChoice plugin(const char* library) {
  return {.name = "double", .options = {}, .library = library};
}

/// Our own provider, from another library than its own.
ExecutionProviderChoice own(const char* library) {
  return {.name = "onnx-local", .options = {}, .library = library};
}

struct BrokenProvider {
  const char* name;
  ExecutionProviderChoice choice;
  const char* reason;
};

class ProviderFallback : public ::testing::TestWithParam<BrokenProvider> {};

TEST_P(ProviderFallback, GoesToTheNextWithOneWarningThatSaysWhy) {
  RuntimeOptions options = small_options();
  options.execution_providers = {GetParam().choice, cpu()};
  const auto loaded = try_load(tiny_model("tiny_onnx"), options);
  ASSERT_TRUE(loaded.has_value()) << describe(loaded.error());
  EXPECT_EQ(loaded->execution_provider, "cpu");
  EXPECT_THAT(loaded->warnings,
              ElementsAre(AllOf(HasSubstr(GetParam().choice.name), HasSubstr(GetParam().reason))));
  EXPECT_EQ(feed(*loaded->decoder, SlotId{0}, text_tokens(5)).size(), 259U);
}

TEST_P(ProviderFallback, SaysEachReasonWhereNoneIsLeft) {
  RuntimeOptions options = small_options();
  options.execution_providers = {GetParam().choice};
  const auto loaded = try_load(tiny_model("tiny_onnx"), options);
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(loaded.error().message, HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Providers, ProviderFallback,
    ::testing::Values(
        BrokenProvider{"AtLoad", plugin(EP_DOUBLE_LOAD), "fails at its load"},
        BrokenProvider{"AtSession", plugin(EP_DOUBLE_SESSION), "fails at its session"},
        BrokenProvider{"AtFirstRun", plugin(EP_DOUBLE_FIRST_RUN), "fails at its first run"},
        BrokenProvider{"MissingLibrary", plugin("/nowhere/libmissing.so"), "libmissing.so"},
        BrokenProvider{"OwnAtLoad", own(EP_DOUBLE_LOAD), "fails at its load"},
        BrokenProvider{"OwnWithoutItsOperator", own(EP_DOUBLE_WORKS_LIBRARY),
                       "PagedGroupQueryAttention"},
        BrokenProvider{"OwnMissing", own("/nowhere/libonnxlocal_ep.so"), "/nowhere"},
        BrokenProvider{
            "NotBuiltIn", {.name = "coreml", .options = {}, .library = {}}, "built without"},
        BrokenProvider{"Unknown", {.name = "abacus", .options = {}, .library = {}}, "abacus"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ProviderPlugin, IsUsedWhereItWorks) {
  RuntimeOptions options = small_options();
  options.execution_providers = {plugin(EP_DOUBLE_WORKS_LIBRARY), cpu()};
  for (int round = 0; round < 2; ++round) {
    const auto loaded = try_load(tiny_model("tiny_onnx"), options);
    ASSERT_TRUE(loaded.has_value()) << describe(loaded.error());
    EXPECT_EQ(loaded->execution_provider, "double");
    EXPECT_THAT(loaded->warnings, IsEmpty());
  }
}

/// Sets the variable that names our provider's library, for one test.
class OwnLibraryVariable {
 public:
  explicit OwnLibraryVariable(const char* value) { setenv(kName, value, /*overwrite=*/1); }
  ~OwnLibraryVariable() { unsetenv(kName); }
  OwnLibraryVariable(const OwnLibraryVariable&) = delete;
  OwnLibraryVariable& operator=(const OwnLibraryVariable&) = delete;

 private:
  static constexpr const char* kName = "ONNX_LOCAL_EP_LIBRARY";
};

TEST(OwnProvider, IsFirstWhereNoneIsNamed) {
  const OwnLibraryVariable library(EP_DOUBLE_PAGED);
  RuntimeOptions options = small_options();
  options.execution_providers.clear();
  const auto loaded = try_load(tiny_model("tiny_onnx"), options);
  ASSERT_TRUE(loaded.has_value()) << describe(loaded.error());
  EXPECT_EQ(loaded->execution_provider, "onnx-local");
  EXPECT_THAT(loaded->warnings, IsEmpty());
}

TEST(OwnProvider, GivesWayWithOneWarningWhereItsLibraryIsMissing) {
  const OwnLibraryVariable library("/nowhere/libonnxlocal_ep.so");
  RuntimeOptions options = small_options();
  options.execution_providers.clear();
  const auto loaded = try_load(tiny_model("tiny_onnx"), options);
  ASSERT_TRUE(loaded.has_value()) << describe(loaded.error());
  EXPECT_EQ(loaded->execution_provider, "cpu");
  EXPECT_THAT(loaded->warnings, ElementsAre(AllOf(HasSubstr("onnx-local"), HasSubstr("/nowhere"))));
  const auto infos = list_execution_providers();
  EXPECT_EQ(infos.front().name, "onnx-local");
  EXPECT_FALSE(infos.front().available);
}

TEST(OwnProvider, LeavesGraphsWithoutAPagedFormToTheNext) {
  const OwnLibraryVariable library(EP_DOUBLE_PAGED);
  RuntimeOptions options = small_options();
  options.execution_providers.clear();
  const auto loaded = try_load(tiny_model("tiny_onnx_growing"), options);
  ASSERT_TRUE(loaded.has_value()) << describe(loaded.error());
  EXPECT_EQ(loaded->execution_provider, "cpu");
  EXPECT_THAT(loaded->warnings, IsEmpty());
  options.execution_providers = {own("")};
  const auto named = try_load(tiny_model("tiny_onnx_growing"), options);
  ASSERT_TRUE(named.has_value()) << describe(named.error());
  EXPECT_EQ(named->execution_provider, "onnx-local");
}

TEST(OwnProvider, KeepsItsPackedWeightsInTheCacheFolder) {
  const ScratchFolder cache;
  const OwnLibraryVariable library(EP_DOUBLE_PAGED);
  RuntimeOptions options = small_options(cache.path());
  const auto complete = complete_own_provider(own(""), options, "avx2", "0123", "/model.onnx");
  EXPECT_EQ(complete.options.at("threads"), "1");
  EXPECT_EQ(complete.options.at("packed_file"),
            (cache.path() / "packed/0123/weights.avx2").string());
  ExecutionProviderChoice chosen = own("");
  chosen.options = {{"packed_file", "/mine"}};
  EXPECT_EQ(complete_own_provider(chosen, options, "avx2", "0123", "/model.onnx")
                .options.at("packed_file"),
            "/mine");
}

/// The layout's id of the tiny model on the provider itself, with these options.
std::string layout_of_plugin(std::map<std::string, std::string> provider_options) {
  RuntimeOptions options = small_options();
  options.execution_providers = {own("")};
  options.execution_providers[0].options = std::move(provider_options);
  const auto loaded = try_load(tiny_model("tiny_onnx"), options);
  return loaded ? loaded->decoder->layout().layout_id : describe(loaded.error());
}

TEST(OwnProvider, NamesTheInstructionSetThatItUsesInTheLayout) {
  if (!find_own_provider()) GTEST_SKIP() << "the provider is not in this build";
  const std::string fastest = list_execution_providers().front().instruction_set;
  ASSERT_FALSE(fastest.empty());
  EXPECT_THAT(layout_of_plugin({}), StartsWith("onnx-local-" + fastest + "/"));
  EXPECT_THAT(layout_of_plugin({{"isa", "portable"}}), StartsWith("onnx-local-portable/"));
  EXPECT_THAT(layout_of_plugin({{"isa", "mmx"}}), StartsWith("onnx-local-" + fastest + "/"));
  setenv("ONNX_LOCAL_ISA", "portable", /*overwrite=*/1);
  EXPECT_THAT(layout_of_plugin({}), StartsWith("onnx-local-portable/"));
  EXPECT_EQ(list_execution_providers().front().instruction_set, "portable");
  EXPECT_THAT(layout_of_plugin({{"isa", fastest}}), StartsWith("onnx-local-" + fastest + "/"));
  unsetenv("ONNX_LOCAL_ISA");
}

TEST(OwnProvider, SaysThatALibraryNamesNoInstructionSet) {
  const std::array choices{own(EP_DOUBLE_PAGED)};
  const auto infos = list_execution_providers(choices);
  EXPECT_EQ(infos.front().instruction_set, "unknown");
}

class BrokenModel : public ::testing::Test {
 protected:
  BrokenModel() : folder_(scratch_.copy_of(tiny_model("tiny_onnx"))) {}

  const std::filesystem::path& folder() const { return folder_; }
  Error load_error() const {
    const auto loaded = try_load(folder_, small_options());
    EXPECT_FALSE(loaded.has_value());
    return loaded ? Error{} : loaded.error();
  }
  void edit(void (*change)(onnx::ModelProto&)) const {
    onnx::ModelProto model;
    ASSERT_TRUE(read_onnx_file(folder_ / "model.onnx", model).has_value());
    change(model);
    ASSERT_TRUE(write_onnx_file(folder_ / "model.onnx", model).has_value());
  }

 private:
  ScratchFolder scratch_;
  std::filesystem::path folder_;
};

TEST_F(BrokenModel, WithTruncatedDataNamesTheFileAndBothSizes) {
  std::filesystem::resize_file(folder() / "model.onnx.data", 100000);
  const Error error = load_error();
  EXPECT_EQ(error.code, ErrorCode::kModelCorrupt);
  EXPECT_THAT(error.message, AllOf(HasSubstr("model.onnx.data"), HasSubstr("100000")));
  EXPECT_FALSE(error.hint.empty());
}

TEST_F(BrokenModel, WithoutItsDataNamesTheFile) {
  std::filesystem::remove(folder() / "model.onnx.data");
  const Error error = load_error();
  EXPECT_EQ(error.code, ErrorCode::kModelCorrupt);
  EXPECT_THAT(error.message, HasSubstr("model.onnx.data"));
}

TEST_F(BrokenModel, ThatIsNotOnnxIsRefused) {
  std::ofstream(folder() / "model.onnx") << "this is a web page, not a model";
  EXPECT_EQ(load_error().code, ErrorCode::kModelCorrupt);
}

TEST_F(BrokenModel, WithAnUnknownOperatorNamesIt) {
  edit([](onnx::ModelProto& model) {
    for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) {
      if (node.op_type() == "Sigmoid") node.set_op_type("Frobnicate");
    }
  });
  const Error error = load_error();
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("Frobnicate"));
  EXPECT_FALSE(error.hint.empty());
}

TEST_F(BrokenModel, WithAnInputThatWeDoNotHaveNamesIt) {
  edit([](onnx::ModelProto& model) {
    auto& input = *model.mutable_graph()->add_input();
    input = model.graph().input(0);
    input.set_name("pixel_values");
  });
  const Error error = load_error();
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("pixel_values"));
}

TEST_F(BrokenModel, WithANodeThatReadsNothingIsRefused) {
  edit([](onnx::ModelProto& model) {
    model.mutable_graph()->mutable_node(3)->set_input(0, "nothing");
  });
  const Error error = load_error();
  EXPECT_TRUE(error.code == ErrorCode::kModelCorrupt || error.code == ErrorCode::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("nothing"));
}

TEST(LoadDecoder, StopsWhenAsked) {
  const auto folder = testing::read_folder(tiny_model("tiny_onnx"));
  std::stop_source stop;
  stop.request_stop();
  const auto loaded = load_decoder(folder, small_options(), stop.get_token());
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kCancelled);
}

TEST(LoadDecoder, LimitsTheContextAsAsked) {
  RuntimeOptions options = small_options();
  options.context_tokens = 100;
  const auto loaded = try_load(tiny_model("tiny_onnx"), options);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->decoder->limits().slot_tokens_max, 100U);
}

}  // namespace
}  // namespace onnxlocal
