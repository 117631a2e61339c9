// OpenAI's routes over a real socket, with a provider that follows a script.
#include <gmock/gmock.h>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class OpenAi : public ServerTest {
 protected:
  OpenAi() {
    options.embeddings.models = {{.id = "onnx-local/vectors",
                                  .display_name = "Vectors",
                                  .created_at = {},
                                  .context_tokens = 512,
                                  .dimensions = 1}};
    options.embeddings.embed = count_parts;
  }

  /// One number for each input: how many bytes or tokens it has. "broken" fails.
  static Result<ActiveGeneration> count_parts(const EmbeddingRequest& request, EmbeddingSink sink) {
    Embeddings made;
    for (const RawPrompt& input : request.inputs) {
      if (input == RawPrompt(std::string("broken"))) {
        sink(std::unexpected(invalid_request("input.0: it is broken")));
        return ActiveGeneration();
      }
      const std::size_t size = std::visit([](const auto& parts) { return parts.size(); }, input);
      made.vectors.push_back({static_cast<float>(size)});
      made.tokens += static_cast<std::uint32_t>(size);
    }
    sink(std::move(made));
    return ActiveGeneration();
  }

  static std::string chat_body(std::string_view more = {}) {
    return R"({"model":"scripted","messages":[{"role":"user","content":"Hi"}])" +
           std::string(more) + "}";
  }

  static void expect_openai_error(const RawResponse& response, unsigned status,
                                  std::string_view param) {
    EXPECT_EQ(response.status, status) << response.body;
    const json::value body = parse(response.body);
    EXPECT_EQ(body.at("error").at("param"), json::value(param));
    EXPECT_FALSE(body.at("error").at("message").get_string().empty());
  }
};

TEST_F(OpenAi, CompletesAChat) {
  const RawResponse response = ask("POST", "/v1/chat/completions", chat_body());
  ASSERT_EQ(response.status, 200U) << response.body;
  EXPECT_THAT(response.header("x-request-id"), StartsWith("req_"));
  const json::value body = parse(response.body);
  EXPECT_THAT(std::string(body.at("id").get_string()), StartsWith("chatcmpl-"));
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content"), "Hello world");
  EXPECT_EQ(provider->wait_for(0, soon())->request().model, "onnx-local/scripted");
}

TEST_F(OpenAi, StreamsAChat) {
  const RawResponse response = ask("POST", "/v1/chat/completions", chat_body(R"(,"stream":true)"));
  ASSERT_EQ(response.status, 200U);
  EXPECT_THAT(response.header("content-type"), StartsWith("text/event-stream"));
  EXPECT_THAT(response.body, StartsWith("data: {"));
  EXPECT_THAT(response.body, HasSubstr(R"("delta":{"content":" world"})"));
  EXPECT_THAT(response.body, EndsWith("data: [DONE]\n\n"));
}

TEST_F(OpenAi, RefusesInOpenAisWords) {
  expect_openai_error(ask("POST", "/v1/chat/completions", chat_body(R"(,"n":2)")), 400, "n");
  const RawResponse missing = ask("POST", "/v1/chat/completions",
                                  R"({"model":"x","messages":[{"role":"user","content":"y"}]})");
  expect_openai_error(missing, 404, "model");
  EXPECT_EQ(parse(missing.body).at("error").at("code"), "model_not_found");
}

TEST_F(OpenAi, SaysThatThePromptIsTooLong) {
  provider->refuse_with(prompt_too_long(9000, 8192));
  const RawResponse response = ask("POST", "/v1/chat/completions", chat_body());
  EXPECT_EQ(response.status, 400U);
  EXPECT_EQ(parse(response.body).at("error").at("code"), "context_length_exceeded");
}

TEST_F(OpenAi, SaysThatTheModelIsBroken) {
  ProviderStatus status;
  status.state = ProviderStatus::State::kFailed;
  status.failure = not_found("model.onnx is missing");
  provider->set_status(status);
  const RawResponse response = ask("POST", "/v1/chat/completions", chat_body());
  EXPECT_EQ(response.status, 500U);
  EXPECT_EQ(response.header("x-should-retry"), "false");
  EXPECT_EQ(parse(response.body).at("error").at("type"), "server_error");
}

TEST_F(OpenAi, KeepsCachesOfDifferentKeysApart) {
  ask("POST", "/v1/chat/completions", chat_body(), {"Authorization: Bearer one"});
  ask("POST", "/v1/chat/completions", chat_body(), {"Authorization: Bearer two"});
  EXPECT_NE(provider->wait_for(0, soon())->request().cache_scope,
            provider->wait_for(1, soon())->request().cache_scope);
}

TEST_F(OpenAi, CompletesAPromptAsItStands) {
  const RawResponse response =
      ask("POST", "/v1/completions", R"({"model":"scripted","prompt":"Once","echo":true})");
  ASSERT_EQ(response.status, 200U) << response.body;
  EXPECT_EQ(parse(response.body).at("choices").at(0).at("text"), "OnceHello world");
  const auto running = provider->wait_for(0, soon());
  EXPECT_TRUE(running->request().messages.empty());
  EXPECT_EQ(running->request().raw_prompt, RawPrompt(std::string("Once")));
}

TEST_F(OpenAi, CompletesSeveralPrompts) {
  const RawResponse response =
      ask("POST", "/v1/completions", R"({"model":"scripted","prompt":["One","Two"],"echo":true})");
  ASSERT_EQ(response.status, 200U) << response.body;
  const json::value body = parse(response.body);
  EXPECT_EQ(body.at("choices").at(0).at("text"), "OneHello world");
  EXPECT_EQ(body.at("choices").at(1).at("text"), "TwoHello world");
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 20);
}

TEST_F(OpenAi, EndsAllAnswersWhereOneFails) {
  provider->set_script({});
  start();
  RawHttpClient client(server->port());
  client.send(
      raw_request("POST", "/v1/completions", R"({"model":"scripted","prompt":"One","n":3})"));
  const auto second = provider->wait_for(1, soon());
  ASSERT_TRUE(provider->wait_for(2, soon()));
  second->emit(GenerationFailed{internal_error("broken")});
  EXPECT_EQ(client.read_response(true).status, 500U);
  EXPECT_TRUE(provider->wait_for(0, soon())->wait_until_cancelled(soon()));
  EXPECT_TRUE(provider->wait_for(2, soon())->wait_until_cancelled(soon()));
}

TEST_F(OpenAi, GoesOnFromAnEarlierResponse) {
  const auto first =
      parse(ask("POST", "/v1/responses", R"({"model":"scripted","input":"one"})").body);
  EXPECT_EQ(first.at("output").at(0).at("content").at(0).at("text"), "Hello world");
  const std::string id(first.at("id").get_string());
  EXPECT_EQ(parse(ask("GET", "/v1/responses/" + id).body), first);
  const RawResponse second =
      ask("POST", "/v1/responses",
          R"({"model":"scripted","input":"two","previous_response_id":")" + id + "\"}");
  ASSERT_EQ(second.status, 200U) << second.body;
  const auto messages = provider->wait_for(1, soon())->request().messages;
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[1].content.at(0), ContentBlock(TextBlock{"Hello world"}));
  EXPECT_EQ(messages[2].content.at(0), ContentBlock(TextBlock{"two"}));
}

TEST_F(OpenAi, KeepsNoResponseThatMustNotBeStored) {
  const auto first = parse(
      ask("POST", "/v1/responses", R"({"model":"scripted","input":"one","store":false})").body);
  const std::string id(first.at("id").get_string());
  EXPECT_EQ(ask("GET", "/v1/responses/" + id).status, 404U);
  const RawResponse second =
      ask("POST", "/v1/responses",
          R"({"model":"scripted","input":"two","previous_response_id":")" + id + "\"}");
  expect_openai_error(second, 400, "previous_response_id");
  EXPECT_EQ(parse(second.body).at("error").at("code"), "previous_response_not_found");
}

TEST_F(OpenAi, ShowsAResponseToItsOwnClientAlone) {
  const auto first = parse(ask("POST", "/v1/responses", R"({"model":"scripted","input":"one"})",
                               {"Authorization: Bearer one"})
                               .body);
  const std::string path = "/v1/responses/" + std::string(first.at("id").get_string());
  EXPECT_EQ(ask("GET", path, {}, {"Authorization: Bearer two"}).status, 404U);
  EXPECT_EQ(ask("DELETE", path, {}, {"Authorization: Bearer two"}).status, 404U);
  EXPECT_EQ(ask("DELETE", path, {}, {"Authorization: Bearer one"}).status, 200U);
  EXPECT_EQ(ask("GET", path, {}, {"Authorization: Bearer one"}).status, 404U);
}

TEST_F(OpenAi, StreamsAResponse) {
  const RawResponse response =
      ask("POST", "/v1/responses", R"({"model":"scripted","input":"one","stream":true})");
  EXPECT_THAT(response.body, StartsWith("event: response.created\ndata: {"));
  EXPECT_THAT(response.body, HasSubstr("event: response.output_text.delta\n"));
  EXPECT_THAT(response.body, HasSubstr("event: response.completed\n"));
}

TEST_F(OpenAi, GivesEmbeddings) {
  const RawResponse response =
      ask("POST", "/v1/embeddings", R"({"model":"vectors","input":["abc",[7,7]]})");
  ASSERT_EQ(response.status, 200U) << response.body;
  const json::value body = parse(response.body);
  EXPECT_EQ(body.at("model"), "vectors");
  EXPECT_EQ(body.at("data").at(0).at("embedding").at(0).to_number<float>(), 3);
  EXPECT_EQ(body.at("data").at(1).at("embedding").at(0).to_number<float>(), 2);
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 5);
}

TEST_F(OpenAi, TellsWhatIsWrongWithAnInput) {
  expect_openai_error(ask("POST", "/v1/embeddings", R"({"model":"vectors","input":"broken"})"), 400,
                      "input.0");
  expect_openai_error(ask("POST", "/v1/embeddings", R"({"model":"vectors","input":[]})"), 400,
                      "input");
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"model":"nobody","input":"x"})").status, 404U);
}

TEST_F(OpenAi, SaysWhichModelsGiveEmbeddings) {
  const RawResponse response = ask("POST", "/v1/embeddings", R"({"model":"scripted","input":"x"})");
  expect_openai_error(response, 400, "model");
  EXPECT_THAT(response.body, HasSubstr("gives no embeddings"));
  EXPECT_THAT(response.body, HasSubstr("onnx-local/vectors"));
}

TEST_F(OpenAi, RefusesTextFromAnEmbeddingModel) {
  const RawResponse response =
      ask("POST", "/v1/completions", R"({"model":"vectors","prompt":"x"})");
  expect_openai_error(response, 400, "model");
  EXPECT_THAT(response.body, HasSubstr("ask POST /v1/embeddings"));
}

TEST_F(OpenAi, GivesEmbeddingsBesideABrokenModel) {
  ProviderStatus status;
  status.state = ProviderStatus::State::kFailed;
  provider->set_status(status);
  EXPECT_EQ(ask("POST", "/v1/embeddings", R"({"model":"vectors","input":"x"})").status, 200U);
}

TEST_F(OpenAi, CountsTheTokensOfEmbeddingsForTheirKey) {
  options.default_limits.input_tokens_per_minute = 100;
  const auto embed = [&] {
    return ask("POST", "/v1/embeddings",
               R"({"model":"vectors","input":")" + std::string(90, 'x') + "\"}");
  };
  EXPECT_EQ(embed().status, 200U);
  EXPECT_EQ(embed().status, 200U) << "anything is left";
  EXPECT_EQ(embed().status, 429U);
}

TEST_F(OpenAi, ListsModelsInAFormThatBothFormatsTake) {
  const json::value body = parse(ask("GET", "/v1/models").body);
  EXPECT_EQ(body.at("object"), "list");
  EXPECT_EQ(body.at("data").at(0).at("object"), "model");
  EXPECT_EQ(body.at("data").at(0).at("type"), "model");
  EXPECT_EQ(body.at("data").at(0).at("created"), 0);
  const json::value& embeddings = body.at("data").at(1).at("capabilities").at("embeddings");
  EXPECT_EQ(embeddings.at("supported"), true);
  EXPECT_EQ(embeddings.at("dimensions"), 1);
}

TEST_F(OpenAi, TellsOpenAisClientsOfAnUnknownModelInTheirWords) {
  const std::vector<std::string> key = {"Authorization: Bearer any"};
  const RawResponse unknown = ask("GET", "/v1/models/nobody", {}, key);
  expect_openai_error(unknown, 404, "model");
  EXPECT_EQ(parse(unknown.body).at("error").at("code"), "model_not_found");
  const RawResponse no_path = ask("POST", "/v1/audio/speech", "{}", key);
  EXPECT_EQ(no_path.status, 404U);
  EXPECT_EQ(parse(no_path.body).at("error").at("code"), "not_found");
}

TEST_F(OpenAi, LeavesAnthropicsClientsTheirOwnWords) {
  expect_error(ask("GET", "/v1/models/nobody"), 404, "not_found_error");
  expect_error(ask("GET", "/v1/models/nobody", {}, {"x-api-key: any"}), 404, "not_found_error");
  expect_error(ask("GET", "/v1/models/nobody", {},
                   {"Authorization: Bearer any", "anthropic-version: 2026-10-21"}),
               404, "not_found_error");
}

TEST_F(OpenAi, RepeatsAPromptOfTokensAsText) {
  const RawResponse response =
      ask("POST", "/v1/completions", R"({"model":"scripted","prompt":[72,105],"echo":true})");
  EXPECT_EQ(parse(response.body).at("choices").at(0).at("text"), "HiHello world");
}

}  // namespace
}  // namespace onnxlocal
