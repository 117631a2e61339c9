// Every route and every error over a real socket, with a provider that follows a script.
#include <gmock/gmock.h>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Routes : public ServerTest {};

TEST_F(Routes, AnswerAMessage) {
  const RawResponse response = ask("POST", "/v1/messages?beta=true", message_body(false));
  ASSERT_EQ(response.status, 200U) << response.body;
  EXPECT_EQ(response.header("content-type"), "application/json");
  EXPECT_THAT(response.header("request-id"), StartsWith("req_"));
  const json::value body = parse(response.body);
  EXPECT_THAT(std::string(body.at("id").get_string()), StartsWith("msg_"));
  EXPECT_EQ(body.at("model"), "scripted");
  EXPECT_EQ(body.at("content").at(0).at("text"), "Hello world");
  EXPECT_EQ(body.at("stop_reason"), "end_turn");
  EXPECT_EQ(body.at("usage").at("output_tokens"), 2);
}

TEST_F(Routes, StreamAMessage) {
  const RawResponse response = ask("POST", "/v1/messages", message_body(true));
  ASSERT_EQ(response.status, 200U);
  EXPECT_THAT(response.header("content-type"), StartsWith("text/event-stream"));
  EXPECT_THAT(response.header("request-id"), StartsWith("req_"));
  EXPECT_THAT(response.body, StartsWith("event: message_start\ndata: {"));
  EXPECT_THAT(response.body, HasSubstr(R"("delta":{"type":"text_delta","text":" world"})"));
  EXPECT_THAT(response.body, testing::EndsWith("data: {\"type\":\"message_stop\"}\n\n"));
}

TEST_F(Routes, MapTheModelBeforeTheProviderSeesIt) {
  for (const char* model : {"scripted", "onnx-local/scripted", "claude-sonnet-9"}) {
    const RawResponse response =
        ask("POST", "/v1/messages",
            std::string(R"({"model":")") + model +
                R"(","max_tokens":1,"messages":[{"role":"user","content":"x"}]})");
    ASSERT_EQ(response.status, 200U) << response.body;
    EXPECT_EQ(parse(response.body).at("model"), json::value(model));
  }
  EXPECT_EQ(provider->wait_for(2, soon())->request().model, "onnx-local/scripted");
}

TEST_F(Routes, KeepCachesOfDifferentKeysApart) {
  const std::string body = message_body(false);
  ask("POST", "/v1/messages", body, {"x-api-key: one"});
  ask("POST", "/v1/messages", body, {"Authorization: Bearer one"});
  ask("POST", "/v1/messages", body, {"Authorization: Bearer two"});
  ask("POST", "/v1/messages", body);
  const auto scope = [this](std::size_t index) {
    return provider->wait_for(index, soon())->request().cache_scope;
  };
  EXPECT_EQ(scope(0), scope(1));
  EXPECT_NE(scope(0), scope(2));
  EXPECT_EQ(scope(3), "");
}

TEST_F(Routes, CountTokens) {
  const RawResponse response =
      ask("POST", "/v1/messages/count_tokens",
          R"({"model":"scripted","system":"abc","messages":[{"role":"user","content":"de"}]})");
  ASSERT_EQ(response.status, 200U) << response.body;
  EXPECT_EQ(parse(response.body).at("input_tokens"), 5);
}

TEST_F(Routes, ListModels) {
  const json::value body = parse(ask("GET", "/v1/models?limit=1").body);
  EXPECT_EQ(body.at("data").at(0).at("id"), "onnx-local/scripted");
  EXPECT_EQ(body.at("has_more"), false);
  expect_error(ask("GET", "/v1/models?limit=0"), 400, "invalid_request_error");
  expect_error(ask("GET", "/v1/models?after_id=nobody"), 400, "invalid_request_error");
}

TEST_F(Routes, RetrieveAModelByAnIdWithASlashEitherWay) {
  for (const char* path : {"/v1/models/onnx-local/scripted", "/v1/models/onnx-local%2Fscripted"}) {
    const RawResponse response = ask("GET", path);
    ASSERT_EQ(response.status, 200U) << path;
    EXPECT_EQ(parse(response.body).at("id"), "onnx-local/scripted");
  }
  expect_error(ask("GET", "/v1/models/nobody"), 404, "not_found_error");
}

TEST_F(Routes, SayThatTheServerIsThere) {
  EXPECT_EQ(ask("GET", "/").status, 200U);
  const RawResponse head = ask("HEAD", "/api/hello");
  EXPECT_EQ(head.status, 200U);
  EXPECT_NE(head.header("content-length"), "0");
  EXPECT_EQ(ask("HEAD", "/").status, 200U);
}

TEST_F(Routes, ReportHealth) {
  const RawResponse response = ask("GET", "/health");
  EXPECT_EQ(response.status, 200U);
  const json::value body = parse(response.body);
  EXPECT_EQ(body.at("status"), "ready");
  EXPECT_EQ(body.at("model"), "onnx-local/scripted");
  EXPECT_EQ(body.at("providers").at(0), "cpu");
  EXPECT_EQ(body.at("queue").at("slots"), 1);
  EXPECT_TRUE(body.at("failure").is_null());
}

TEST_F(Routes, RefuseInTheWordsOfTheFormatThatThePathHas) {
  const RawResponse response = ask("GET", "/v1/chat/nowhere");
  EXPECT_EQ(response.status, 404U);
  EXPECT_THAT(response.header("x-request-id"), StartsWith("req_"));
  EXPECT_EQ(parse(response.body).at("error").at("code"), "not_found");
}

TEST_F(Routes, SayWhyAModelIsBrokenAndThatRepeatingIsNoUse) {
  ProviderStatus status;
  status.state = ProviderStatus::State::kFailed;
  status.failure = not_found("model.onnx is missing", "import it again");
  provider->set_status(status);
  const RawResponse health = ask("GET", "/health");
  EXPECT_EQ(health.status, 503U);
  EXPECT_EQ(parse(health.body).at("failure").at("message"), "model.onnx is missing");
  const RawResponse response = ask("POST", "/v1/messages", message_body(false));
  expect_error(response, 500, "api_error");
  EXPECT_EQ(response.header("x-should-retry"), "false");
  EXPECT_THAT(response.body, HasSubstr("model.onnx is missing"));
}

TEST_F(Routes, SayThatAModelStillLoads) {
  ProviderStatus status;
  status.state = ProviderStatus::State::kLoading;
  provider->set_status(status);
  provider->refuse_with(unavailable("the model is loading"));
  EXPECT_EQ(ask("GET", "/health").status, 503U);
  const RawResponse response = ask("POST", "/v1/messages", message_body(true));
  expect_error(response, 503, "api_error");
  EXPECT_EQ(response.header("x-should-retry"), "true");
}

TEST_F(Routes, TellClientsToComeBackWhenFull) {
  provider->refuse_with(overloaded("64 requests are waiting"));
  const RawResponse response = ask("POST", "/v1/messages", message_body(true));
  expect_error(response, 529, "overloaded_error");
  EXPECT_EQ(response.header("retry-after"), "1");
}

TEST_F(Routes, PassOnAPromptThatIsTooLong) {
  provider->refuse_with(prompt_too_long(9000, 8192));
  const RawResponse response = ask("POST", "/v1/messages", message_body(false));
  expect_error(response, 400, "invalid_request_error");
  EXPECT_EQ(parse(response.body).at("error").at("message"),
            "prompt is too long: 9000 tokens > 8192 maximum");
}

TEST_F(Routes, AnswerTroubleBeforeTheFirstTokenWithAPlainError) {
  provider->set_script({GenerationFailed{internal_error("the decoder failed")}});
  for (const bool stream : {false, true}) {
    const RawResponse response = ask("POST", "/v1/messages", message_body(stream));
    expect_error(response, 500, "api_error");
    EXPECT_EQ(response.header("x-should-retry"), "true");
  }
}

TEST_F(Routes, AnswerLaterTroubleInsideTheStream) {
  std::vector<GenerationEvent> script = scripted_answer({"Hello"});
  script.back() = GenerationFailed{internal_error("the decoder failed")};
  provider->set_script(script);
  const RawResponse response = ask("POST", "/v1/messages", message_body(true));
  EXPECT_EQ(response.status, 200U);
  EXPECT_THAT(response.body, HasSubstr("event: error\ndata: "));
  EXPECT_THAT(response.body, HasSubstr("the decoder failed"));
}

TEST_F(Routes, RefuseBadRequestsTheSameWayWithAndWithoutStream) {
  for (const char* stream : {"true", "false"}) {
    expect_error(
        ask("POST", "/v1/messages", std::string(R"({"model":"m","stream":)") + stream + "}"), 400,
        "invalid_request_error");
  }
  expect_error(ask("POST", "/v1/messages", "{"), 400, "invalid_request_error");
  expect_error(ask("POST", "/v1/messages"), 400, "invalid_request_error");
}

TEST_F(Routes, RefuseThreadsWithACode) {
  const RawResponse response =
      ask("POST", "/v1/messages", message_body(false, R"(,"thread":{"type":"create"})"));
  expect_error(response, 400, "invalid_request_error");
  EXPECT_EQ(parse(response.body).at("error").at("details").at("error_code"),
            "thread_unsupported_request");
}

TEST_F(Routes, DoNotKnowOtherModels) {
  const RawResponse response =
      ask("POST", "/v1/messages",
          R"({"model":"gpt","max_tokens":1,"messages":[{"role":"user","content":"x"}]})");
  expect_error(response, 404, "not_found_error");
  EXPECT_THAT(response.body, HasSubstr("onnx-local/scripted"));
}

TEST_F(Routes, DoNotKnowOtherPathsOrMethods) {
  expect_error(ask("GET", "/v1/nothing/here"), 404, "not_found_error");
  const RawResponse response = ask("GET", "/v1/messages");
  expect_error(response, 405, "invalid_request_error");
  EXPECT_EQ(response.header("allow"), "POST");
  EXPECT_EQ(ask("DELETE", "/v1/models").header("allow"), "GET, HEAD");
}

TEST_F(Routes, RefuseForeignHostsAndPages) {
  start();
  RawHttpClient client(server->port());
  client.send("GET /health HTTP/1.1\r\nHost: evil.example:3001\r\n\r\n");
  expect_error(client.read_response(), 403, "permission_error");
  expect_error(ask("GET", "/health", {}, {"Origin: https://evil.example"}), 403,
               "permission_error");
  EXPECT_EQ(ask("GET", "/health", {}, {"Origin: http://localhost:5173"}).status, 200U);
}

}  // namespace
}  // namespace onnxlocal
