// The library as ONNX Runtime sees it: loaded and registered as any program would.

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "cpu/instruction_set.h"
#include "plugin/names.h"
#include "plugin/test_attention.h"
#include "plugin/test_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal::ep {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr auto kFloat = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
constexpr std::int64_t kWidth = 64;

/// A product and a norm: no decoder, so they are taken one by one.
TestGraph small_graph() {
  TestGraph graph;
  graph.input("x", kFloat, {-1, -1, kWidth});
  graph.output("y", kFloat, {-1, -1, kWidth});
  graph.constant("b", TestTensor::of({kWidth, 2, 16}, random_bytes(kWidth * 32, 1)));
  graph.constant("s", TestTensor::of({kWidth * 2}, random_floats(kWidth * 2, 2, 0.01F)));
  graph.constant("w", TestTensor::of({kWidth}, random_floats(kWidth, 3)));
  graph.node("MatMulNBits", "com.microsoft", {"x", "b", "s"}, {"h"},
             {{"N", kWidth},
              {"K", kWidth},
              {"bits", std::int64_t{4}},
              {"block_size", std::int64_t{32}},
              {"accuracy_level", std::int64_t{4}}});
  graph.node("SimplifiedLayerNormalization", "", {"h", "w"}, {"y"}, {{"epsilon", 1e-6F}});
  return graph;
}

TestTensor rows(std::int64_t count, std::uint64_t seed) {
  return TestTensor::of({1, count, kWidth},
                        random_floats(static_cast<std::size_t>(count * kWidth), seed));
}

/// What a session with these provider options logs while it is made.
std::vector<std::string> log_of_session(const std::map<std::string, std::string>& options) {
  auto& runtime = TestRuntime::instance();
  runtime.take_log();
  const Ort::Session session = small_graph().session(runtime.ours(options));
  return runtime.take_log();
}

TEST(Plugin, OffersTheProcessorAsADevice) {
  const auto devices = TestRuntime::instance().env().GetEpDevices();
  const auto ours = std::ranges::find(devices, std::string(kProviderName),
                                      [](const auto& device) { return device.EpName(); });
  ASSERT_NE(ours, devices.end());
  EXPECT_STREQ(ours->EpVendor(), "onnx-local");
  EXPECT_EQ(ours->Device().Type(), OrtHardwareDeviceType_CPU);
}

TEST(Plugin, TakesNodesOneByOneWhereTheGraphIsNoDecoder) {
  const Ort::Session session = small_graph().session(TestRuntime::instance().ours());
  EXPECT_EQ(our_nodes(session),
            (std::map<std::string, int>{{"MatMulNBits", 1}, {"SimplifiedLayerNormalization", 1}}));
}

TEST(Plugin, SaysThatAnOptionIsUnknown) {
  EXPECT_THAT(log_of_session({{"treads", "2"}}),
              Contains(AllOf(HasSubstr("treads=2 is not used"), HasSubstr("threads=NUMBER"))));
}

TEST(Plugin, SaysThatAnOptionMakesNoSense) {
  EXPECT_THAT(log_of_session({{"threads", "two"}}), Contains(HasSubstr("threads=two is not used")));
  EXPECT_THAT(log_of_session({{"mode", "half"}}), Contains(HasSubstr("mode=half is not used")));
}

TEST(Plugin, UsesTheInstructionSetThatTheOptionForces) {
  for (const InstructionSet set : available_instruction_sets()) {
    const std::string name(to_string(set));
    EXPECT_THAT(log_of_session({{"isa", name}}),
                Contains(HasSubstr("instruction set " + name + ",")));
  }
}

/// Our library registered once more, while ONNX_LOCAL_ISA names a set.
class RegisteredWithIsa {
 public:
  explicit RegisteredWithIsa(const char* isa) {
    ::setenv("ONNX_LOCAL_ISA", isa, 1);
    const auto before = TestRuntime::instance().env().GetEpDevices().size();
    TestRuntime::instance().env().RegisterExecutionProviderLibrary(kName, ONNXLOCAL_EP_LIBRARY);
    ::unsetenv("ONNX_LOCAL_ISA");
    device_ = TestRuntime::instance().env().GetEpDevices().at(before);
  }
  ~RegisteredWithIsa() { TestRuntime::instance().env().UnregisterExecutionProviderLibrary(kName); }
  RegisteredWithIsa(const RegisteredWithIsa&) = delete;
  RegisteredWithIsa& operator=(const RegisteredWithIsa&) = delete;

  std::string published(const char* key) const { return device_.EpMetadata().GetValue(key); }
  std::vector<std::string> log_of_session() const {
    auto& runtime = TestRuntime::instance();
    Ort::SessionOptions options = TestRuntime::stock();
    options.AppendExecutionProvider_V2(runtime.env(), {device_},
                                       std::unordered_map<std::string, std::string>());
    runtime.take_log();
    const Ort::Session session = small_graph().session(options);
    return runtime.take_log();
  }

 private:
  static constexpr const char* kName = "registered_again";
  Ort::ConstEpDevice device_{nullptr};
};

TEST(Plugin, PublishesAndUsesTheInstructionSetOfTheEnvironment) {
  for (const InstructionSet set : available_instruction_sets()) {
    const std::string name(to_string(set));
    const RegisteredWithIsa registered(name.c_str());
    EXPECT_EQ(registered.published(kMetadataIsa), name);
    EXPECT_THAT(registered.log_of_session(), Contains(HasSubstr("instruction set " + name + ",")));
  }
}

TEST(Plugin, PublishesTheFastestInstructionSetWhereTheEnvironmentNamesAnUnknownOne) {
  const RegisteredWithIsa registered("mmx");
  EXPECT_EQ(registered.published(kMetadataIsa), to_string(available_instruction_sets().back()));
  EXPECT_THAT(registered.log_of_session(),
              Contains(HasSubstr("instruction set \"mmx\" is not known")));
}

TEST(Plugin, PublishesAllInstructionSetsOfTheMachine) {
  const std::string published = RegisteredWithIsa("portable").published(kMetadataIsas);
  EXPECT_THAT(published, testing::StartsWith("portable"));
  for (const InstructionSet set : available_instruction_sets()) {
    EXPECT_THAT(published, HasSubstr(std::string(to_string(set))));
  }
}

TEST(Plugin, SaysThatAnInstructionSetIsNotKnownAndUsesTheFastest) {
  const std::string fastest(to_string(available_instruction_sets().back()));
  const auto log = log_of_session({{"isa", "mmx"}});
  EXPECT_THAT(log, Contains(HasSubstr("instruction set \"mmx\" is not known")));
  EXPECT_THAT(log, Contains(HasSubstr("instruction set " + fastest + ",")));
}

TEST(Plugin, SaysThatOnePoolServesAll) {
  log_of_session({});  // The first session's wish has counted.
  EXPECT_THAT(log_of_session({{"threads", "77"}}),
              Contains(HasSubstr("threads=77 is not used: one pool serves all sessions")));
}

TEST(Plugin, PacksAtOnceAndSaysSoWherePrepackingIsDisabled) {
  auto& runtime = TestRuntime::instance();
  Ort::Session expected = small_graph().session(runtime.ours({{"mode", "single"}}));
  Ort::SessionOptions options = runtime.ours({{"mode", "single"}});
  options.AddConfigEntry("session.disable_prepacking", "1");
  runtime.take_log();
  Ort::Session session = small_graph().session(options);
  EXPECT_THAT(runtime.take_log(), Contains(HasSubstr("session.disable_prepacking=1")));
  const std::map<std::string, TestTensor> input{{"x", rows(3, 9)}};
  EXPECT_EQ(run(session, input).at("y").bytes, run(expected, input).at("y").bytes);
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A product and attention over no past: what is run as a whole.
TestGraph small_decoder(const Heads& heads) {
  TestGraph graph;
  graph.input("x", kFloat, {-1, -1, kWidth});
  const auto outputs = static_cast<std::size_t>(heads.packed_width());
  graph.constant("b", TestTensor::of({heads.packed_width(), 2, 16}, random_bytes(outputs * 32, 1)));
  graph.constant("s",
                 TestTensor::of({heads.packed_width() * 2}, random_floats(outputs * 2, 2, 0.01F)));
  graph.node("MatMulNBits", "com.microsoft", {"x", "b", "s"}, {"q"},
             {{"N", heads.packed_width()},
              {"K", kWidth},
              {"bits", std::int64_t{4}},
              {"block_size", std::int64_t{32}}});
  for (const char* name : {"pk", "pv", "ok", "ov"}) {
    const std::vector<std::int64_t> dims{-1, heads.kv_heads, -1, heads.head_dim};
    if (name[0] == 'p') graph.input(name, kFloat, dims);
    if (name[0] == 'o') graph.output(name, kFloat, dims);
  }
  graph.input("lengths", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {-1});
  graph.input("total", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {});
  graph.output("y", kFloat, {-1, -1, heads.width()});
  graph.node("GroupQueryAttention", "com.microsoft", {"q", "", "", "pk", "pv", "lengths", "total"},
             {"y", "ok", "ov"}, attributes_of(heads));
  return graph;
}

TEST(Plugin, KeepsPackedWeightsAndAProfileWhereTheOptionsSay) {
  auto& runtime = TestRuntime::instance();
  const std::filesystem::path folder(testing::TempDir());
  const std::filesystem::path packed = folder / "ep_plugin_test.packed";
  const std::filesystem::path profile = folder / "ep_plugin_test.profile";
  std::filesystem::remove(packed);
  std::filesystem::remove(profile);
  const std::map<std::string, std::string> options{{"packed_file", packed.string()},
                                                   {"profile", profile.string()}};
  const Heads heads{.rotates = false};
  const Tensors input{{"x", rows(3, 9)},
                      {"pk", no_past(heads, 1)},
                      {"pv", no_past(heads, 1)},
                      {"lengths", TestTensor::of<std::int32_t>({1}, {2})},
                      {"total", TestTensor::of<std::int32_t>({}, {3})}};
  std::vector<std::byte> first;
  {
    Ort::Session session = small_decoder(heads).session(runtime.ours(options));
    first = run(session, input).at("y").bytes;
  }
  ASSERT_TRUE(std::filesystem::exists(packed));
  EXPECT_THAT(text_of(profile), HasSubstr("\"kind\":\"product\""));
  runtime.take_log();
  Ort::Session session = small_decoder(heads).session(runtime.ours(options));
  EXPECT_THAT(runtime.take_log(),
              Not(Contains(AllOf(testing::StartsWith(kProviderName), HasSubstr("packed")))));
  EXPECT_EQ(run(session, input).at("y").bytes, first);
  std::filesystem::remove(packed);
  std::filesystem::remove(profile);
}

TEST(Plugin, StaysSilentWhereAllIsWell) {
  EXPECT_THAT(log_of_session({{"mode", "single"}}), Not(Contains(HasSubstr("is not used"))));
}

TEST(Plugin, RunsSeveralSessionsAndSeveralRunsOfEachAtOnce) {
  auto& runtime = TestRuntime::instance();
  Ort::Session first = small_graph().session(runtime.ours({{"mode", "single"}}));
  Ort::Session second = small_graph().session(runtime.ours());
  constexpr int kThreads = 6;
  constexpr int kRuns = 40;
  std::vector<std::vector<std::byte>> expected;
  for (int i = 0; i < kThreads; ++i) {
    expected.push_back(
        run(i % 2 == 0 ? first : second, {{"x", rows(i * 7 + 1, static_cast<std::uint64_t>(i))}})
            .at("y")
            .bytes);
  }
  std::vector<int> wrong(kThreads, 0);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        Ort::Session& session = i % 2 == 0 ? first : second;
        const TestTensor x = rows(i * 7 + 1, static_cast<std::uint64_t>(i));
        const auto place = static_cast<std::size_t>(i);
        for (int n = 0; n < kRuns; ++n) {
          if (run(session, {{"x", x}}).at("y").bytes != expected[place]) ++wrong[place];
        }
      });
    }
  }
  EXPECT_THAT(wrong, testing::Each(0));
}

// A runtime of the past, in front of the real one.
const OrtApi* api_of_the_past(std::uint32_t version) noexcept {
  constexpr std::uint32_t kNewest = 20;
  return version > kNewest ? nullptr : OrtGetApiBase()->GetApi(version);
}

using CreateFactories = OrtStatus* (*)(const char*, const OrtApiBase*, const OrtLogger*,
                                       OrtEpFactory**, std::size_t, std::size_t*);

TEST(Plugin, SaysThatTheRuntimeIsTooOld) {
  // A second copy of the library would be the same one: its API is left as it was.
  void* const library = ::dlopen(ONNXLOCAL_EP_LIBRARY, RTLD_NOW);
  ASSERT_NE(library, nullptr);
  const auto create = reinterpret_cast<CreateFactories>(::dlsym(library, "CreateEpFactories"));
  ASSERT_NE(create, nullptr);
  const OrtApiBase base{.GetApi = &api_of_the_past,
                        .GetVersionString = []() noexcept { return "1.20.1"; }};
  OrtEpFactory* factory = nullptr;
  std::size_t count = 7;
  const Ort::Status status(create("old", &base, nullptr, &factory, 1, &count));
  ASSERT_FALSE(status.IsOK());
  EXPECT_THAT(status.GetErrorMessage(),
              AllOf(HasSubstr("needs ONNX Runtime 1.29 or newer"), HasSubstr("this is 1.20.1")));
  EXPECT_EQ(count, 0U);
  ::dlclose(library);
}

TEST(Plugin, ExportsItsTwoFunctionsAlone) {
  void* const library = ::dlopen(ONNXLOCAL_EP_LIBRARY, RTLD_NOW);
  ASSERT_NE(library, nullptr);
  EXPECT_NE(::dlsym(library, "ReleaseEpFactory"), nullptr);
  // A function of our own, by the name that the compiler gives it.
  EXPECT_EQ(::dlsym(library, "_ZN9onnxlocal2ep12usable_coresEv"), nullptr);
  ::dlclose(library);
}

TEST(PagedOperator, SaysThatItRunsInOurProviderAlone) {
  TestGraph graph;
  constexpr std::int64_t kHeadDim = 8;  // No size that we have: left to others.
  graph.input("q", kFloat, {1, -1, 3 * kHeadDim});
  graph.input("p", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {-1, -1});
  for (const char* name : {"st", "pl", "pt"}) {
    graph.input(name, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, {-1});
  }
  graph.output("o", kFloat, {1, -1, kHeadDim});
  graph.output("po", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, {-1, -1});
  graph.node(kPagedAttentionOp, kDomain, {"q", "", "", "p", "st", "pl", "pt"}, {"o", "po"},
             {{"num_heads", std::int64_t{1}},
              {"kv_num_heads", std::int64_t{1}},
              {"head_dim", kHeadDim},
              {"layer", std::int64_t{0}},
              {"layers", std::int64_t{1}}});
  try {
    const Ort::Session session = graph.session(TestRuntime::instance().ours());
    FAIL() << "a session was made";
  } catch (const Ort::Exception& error) {
    EXPECT_THAT(error.what(), HasSubstr("runs in OnnxLocalExecutionProvider alone"));
  }
}

}  // namespace
}  // namespace onnxlocal::ep
