#include "cli/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace onnxlocal {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

std::function<std::optional<std::string>(const char*)> reader(Variables variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

SettingSources sources(Variables flags, Variables environment, std::string_view toml) {
  SettingSources all;
  all.flags = std::move(flags);
  all.environment = reader(std::move(environment));
  if (!toml.empty()) all.file = parse_settings_file(toml, "onnx-local.toml").value();
  return all;
}

std::string origin_of(const Settings& settings, std::string_view key) {
  for (const ResolvedSetting& setting : settings.resolved) {
    if (setting.key == key) return setting.origin;
  }
  return "";
}

TEST(Settings, HaveDefaults) {
  const auto settings = resolve_settings(sources({}, {}, ""), false);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->host, "127.0.0.1");
  EXPECT_EQ(settings->port, 3001);
  EXPECT_EQ(settings->model, "");
  EXPECT_EQ(settings->log_level, LogLevel::kWarning);
  EXPECT_EQ(settings->runtime.graph_optimization, GraphOptimization::kAll);
  EXPECT_EQ(origin_of(*settings, "port"), "default");
}

TEST(Settings, TakeTheFlagBeforeTheEnvironmentBeforeTheFile) {
  const Variables flag = {{"port", "1"}};
  const Variables variable = {{"ONNX_PROXY_PORT", "2"}};
  const auto* const file = "port = 3";
  const auto all = resolve_settings(sources(flag, variable, file), false);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->port, 1);
  EXPECT_EQ(origin_of(*all, "port"), "--port");
  const auto without_flag = resolve_settings(sources({}, variable, file), false);
  ASSERT_TRUE(without_flag);
  EXPECT_EQ(without_flag->port, 2);
  EXPECT_EQ(origin_of(*without_flag, "port"), "ONNX_PROXY_PORT");
  const auto file_alone = resolve_settings(sources({}, {}, file), false);
  ASSERT_TRUE(file_alone);
  EXPECT_EQ(file_alone->port, 3);
  EXPECT_EQ(origin_of(*file_alone, "port"), "onnx-local.toml");
}

TEST(Settings, SayWhatIsKeptOnDisk) {
  const auto bytes = [](const std::string& value) {
    return resolve_settings(sources({{"disk_cache", value}}, {}, ""), false)->disk_cache_bytes;
  };
  EXPECT_EQ(bytes("auto"), 0U);
  EXPECT_EQ(bytes("512M"), 512U << 20);
  EXPECT_FALSE(bytes("off"));
  for (const char* wrong : {"0", "some", ""}) {
    EXPECT_FALSE(resolve_settings(sources({{"disk_cache", wrong}}, {}, ""), false)) << wrong;
  }
}

TEST(Settings, SayWhatTheLogExplains) {
  const auto explained = [](const std::string& value) {
    return resolve_settings(sources({{"explain_cache", value}}, {}, ""), false);
  };
  EXPECT_EQ(explained("reason")->explain_cache, ExplainCache::kReason);
  EXPECT_EQ(explained("text")->explain_cache, ExplainCache::kText);
  EXPECT_EQ(explained("off")->explain_cache, ExplainCache::kOff);
  EXPECT_FALSE(explained("all"));
}

TEST(Settings, LetADraftModelThatIsNamedGuess) {
  const auto plain = resolve_settings(sources({}, {}, ""), false);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->speculation, Speculation::kPromptLookup);
  const auto named = resolve_settings(sources({{"draft_model", "small"}}, {}, ""), false);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->speculation, Speculation::kDraftModel);
  EXPECT_EQ(named->draft_model, "small");
  const auto off = resolve_settings(
      sources({{"draft_model", "small"}}, {{"ONNX_LOCAL_SPECULATION", "off"}}, ""), false);
  ASSERT_TRUE(off);
  EXPECT_EQ(off->speculation, Speculation::kOff);
  EXPECT_FALSE(resolve_settings(sources({{"speculation", "draft"}}, {}, ""), false));
  EXPECT_FALSE(resolve_settings(sources({{"speculation", "yes"}}, {}, ""), false));
}

TEST(Settings, TakeTheModelPathBeforeTheModelName) {
  const auto settings = resolve_settings(
      sources({}, {{"ONNX_MODEL_PATH", "/m/x.onnx"}, {"ONNX_LOCAL_MODEL", "y"}}, ""), false);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->model, "/m/x.onnx");
}

TEST(Settings, ReadAWholeFile) {
  const auto settings = resolve_settings(sources({}, {}, R"(
    model = "m"
    host = "0.0.0.0"
    threads = 2
    context = 4096
    kv_memory = 512
    kv_cache_type = "int8"
    execution_providers = ["cuda:device_id=1", "cpu"]
    graph_optimization = "basic"
    log_level = "info"
  )"),
                                         false);
  ASSERT_TRUE(settings) << settings.error().message;
  EXPECT_EQ(settings->model, "m");
  EXPECT_EQ(settings->host, "0.0.0.0");
  EXPECT_EQ(settings->runtime.threads, 2U);
  EXPECT_EQ(settings->runtime.context_tokens, 4096U);
  EXPECT_EQ(settings->runtime.kv_bytes_max, std::uint64_t{512} << 20);
  EXPECT_EQ(settings->runtime.kv_cache_type, KvCacheType::kInt8);
  ASSERT_EQ(settings->runtime.execution_providers.size(), 2U);
  EXPECT_EQ(settings->runtime.execution_providers[0].name, "cuda");
  EXPECT_EQ(settings->runtime.execution_providers[0].options.at("device_id"), "1");
  EXPECT_EQ(settings->runtime.graph_optimization, GraphOptimization::kBasic);
  EXPECT_EQ(settings->runtime.log_level, LogLevel::kInfo);
}

TEST(Settings, SayWhereABadValueCameFrom) {
  for (const auto* port : {"", "abc", "-1", "65536", "80 ", "1e3"}) {
    const auto settings = resolve_settings(sources({}, {{"ONNX_PROXY_PORT", port}}, ""), false);
    ASSERT_FALSE(settings) << port;
    EXPECT_THAT(settings.error().message, HasSubstr("ONNX_PROXY_PORT"));
  }
  const auto level = resolve_settings(sources({{"log_level", "loud"}}, {}, ""), false);
  ASSERT_FALSE(level);
  EXPECT_THAT(level.error().message, HasSubstr("--log-level"));
}

TEST(Settings, WarnOfKeysThatDoNotExist) {
  const auto settings = resolve_settings(sources({}, {}, "prot = 1\nport = 4"), false);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->port, 4);
  EXPECT_THAT(settings->warnings, ElementsAre(HasSubstr("prot")));
}

TEST(Settings, AreVerboseWithoutTheRuntimesOwnNoise) {
  const auto settings = resolve_settings(sources({}, {}, ""), true);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->log_level, LogLevel::kVerbose);
  EXPECT_EQ(settings->runtime.log_level, LogLevel::kWarning);
}

TEST(SettingsFile, NamesTheLineThatIsWrong) {
  const auto syntax = parse_settings_file("port = 1\nhost = ", "x.toml");
  ASSERT_FALSE(syntax);
  EXPECT_THAT(syntax.error().message, HasSubstr("x.toml, line 2"));
  const auto type = parse_settings_file("port = 1.5", "x.toml");
  ASSERT_FALSE(type);
  EXPECT_THAT(type.error().message, HasSubstr("port"));
}

TEST(ProviderChoice, UnderstandsTheLocalOneAlone) {
  EXPECT_TRUE(check_provider_choice(reader({})));
  EXPECT_TRUE(check_provider_choice(reader({{"PROVIDER", "onnx"}})));
  EXPECT_TRUE(check_provider_choice(reader({{"USE_ONNX", "true"}})));
  EXPECT_TRUE(check_provider_choice(reader({{"PROVIDER", "gemini"}, {"USE_ONNX", "True"}})));
  const auto other = check_provider_choice(reader({{"PROVIDER", "gemini"}, {"USE_ONNX", "false"}}));
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("local models only"));
}

TEST(Settings, HaveWhatAServerNeeds) {
  const auto settings = resolve_settings(
      sources({{"requests_per_minute", "60"},
               {"request_timeout", "30"},
               {"cors_origins", "https://A.example,http://b:1"}},
              {{"ONNX_LOCAL_API_KEY_FILE", "keys"}}, "aliases = [\"claude-*=m\", \"gpt=m\"]"),
      false);
  ASSERT_TRUE(settings) << settings.error().message;
  const ServeSettings& serve = settings->serve;
  EXPECT_EQ(serve.api_key_file, "keys");
  EXPECT_EQ(serve.limits.requests_per_minute, 60U);
  EXPECT_FALSE(serve.limits.tokens_per_minute.has_value());
  EXPECT_EQ(serve.request_timeout, std::chrono::seconds(30));
  EXPECT_THAT(serve.cors_origins, ElementsAre("https://a.example", "http://b:1"));
  EXPECT_FALSE(serve.aliases.empty());
}

TEST(Settings, SayWhatIsWrongWithAServers) {
  for (const auto& [key, value] :
       Variables{{"requests_per_minute", "many"}, {"cors_origins", "*"}, {"aliases", "claude"}}) {
    const auto settings = resolve_settings(sources({{key, value}}, {}, ""), false);
    ASSERT_FALSE(settings) << key;
    EXPECT_THAT(settings.error().message, HasSubstr(key + " (from --"));
  }
}

}  // namespace
}  // namespace onnxlocal
