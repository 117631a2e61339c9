// What only the server and the engine together can get right.
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "engine_server.h"

namespace onnxlocal {
namespace {

std::string message_body(std::size_t letters) {
  return fmt::format(
      R"({{"model":"tiny","max_tokens":4,"messages":[{{"role":"user","content":"{}"}}]}})",
      std::string(letters, 'x'));
}

json::value json_of(const RawResponse& response) {
  auto value = json::parse(response.body);
  EXPECT_TRUE(value.has_value()) << response.body;
  return value ? *value : json::value(json::object{});
}

TEST(EngineOverHttp, NamesOneLengthOfPromptEverywhere) {
  FakeDecoderOptions decoder;
  decoder.slot_tokens_max = 100;
  const EngineServer server(std::move(decoder));
  const auto models = json_of(server.ask("GET", "/v1/models"));
  const auto most = models.at("data").at(0).at("max_input_tokens").to_number<std::size_t>();
  const auto counted = json_of(server.ask("POST", "/v1/messages/count_tokens", message_body(1)));
  const auto around = counted.at("input_tokens").to_number<std::size_t>() - 1;

  const RawResponse fits = server.ask("POST", "/v1/messages", message_body(most - around));
  EXPECT_EQ(fits.status, 200U) << fits.body;
  EXPECT_EQ(json_of(fits).at("usage").at("output_tokens"), 1);

  const RawResponse refused = server.ask("POST", "/v1/messages", message_body(most - around + 1));
  EXPECT_EQ(refused.status, 400U);
  EXPECT_EQ(std::string_view(json_of(refused).at("error").at("message").get_string()),
            fmt::format("prompt is too long: {} tokens > {} maximum", most + 1, most));
}

}  // namespace
}  // namespace onnxlocal
