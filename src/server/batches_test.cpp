// Batches over a real socket, with a provider that follows a script.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>

#include "server/test_server.h"

namespace onnxlocal {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

class BatchRoutes : public ServerTest {
 protected:
  BatchRoutes() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    options.batch_folder =
        std::filesystem::path(testing::TempDir()) / (std::string("batch_routes_") + test->name());
    std::filesystem::remove_all(options.batch_folder);
    options.limits.batch_tick = std::chrono::milliseconds(5);
    limits = options.limits;
  }
  ~BatchRoutes() override {
    server.reset();
    std::filesystem::remove_all(options.batch_folder);
  }

  static std::string request(std::string_view id, std::string_view model = "scripted") {
    return "{\"custom_id\":\"" + std::string(id) + "\",\"params\":{\"model\":\"" +
           std::string(model) +
           "\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}}";
  }
  static std::string body_of(const std::vector<std::string>& requests) {
    std::string list;
    for (const std::string& each : requests) list += (list.empty() ? "" : ",") + each;
    return "{\"requests\":[" + list + "]}";
  }

  /// Its id.
  std::string create(const std::vector<std::string>& requests,
                     const std::vector<std::string>& headers = {}) {
    const RawResponse response = ask("POST", "/v1/messages/batches", body_of(requests), headers);
    EXPECT_EQ(response.status, 200U) << response.body;
    return std::string(parse(response.body).at("id").get_string());
  }

  /// What /metrics says of them, in the end.
  void wait_for_pending(int requests) {
    const std::string wanted =
        "_pending_batch_requests{model=\"\"} " + std::to_string(requests) + "\n";
    const Deadline deadline = soon();
    std::string text;
    do {
      text = ask("GET", "/metrics").body;
    } while (text.find(wanted) == std::string::npos && !deadline.has_passed());
    EXPECT_THAT(text, HasSubstr(wanted));
  }

  json::value wait_until_ended(const std::string& id,
                               const std::vector<std::string>& headers = {}) {
    const Deadline deadline = soon();
    json::value batch;
    do {
      batch = parse(ask("GET", "/v1/messages/batches/" + id, {}, headers).body);
    } while (batch.at("processing_status") != "ended" && !deadline.has_passed());
    EXPECT_EQ(batch.at("processing_status"), "ended");
    return batch;
  }

  static std::uint64_t count(const json::value& batch, std::string_view what) {
    return static_cast<std::uint64_t>(batch.at("request_counts").at(what).as_int64());
  }
};

TEST_F(BatchRoutes, RunWhatTheyAreGivenAndTellTheResults) {
  const std::string id = create({request("one"), request("two"), request("bad", "nobody")});
  EXPECT_THAT(id, MatchesRegex("msgbatch_[A-Za-z0-9]+"));
  const json::value batch = wait_until_ended(id);
  EXPECT_EQ(count(batch, "succeeded"), 2U);
  EXPECT_EQ(count(batch, "errored"), 1U);
  EXPECT_EQ(count(batch, "processing"), 0U);
  const std::string url(batch.at("results_url").get_string());
  const std::string path = "/v1/messages/batches/" + id + "/results";
  EXPECT_THAT(url, AllOf(testing::StartsWith("http://"), testing::EndsWith(path)));
  const RawResponse results = ask("GET", path, {}, {"Accept: application/binary"});
  EXPECT_EQ(results.status, 200U);
  EXPECT_THAT(results.head, HasSubstr("transfer-encoding: chunked"));
  EXPECT_THAT(results.header("request-id"), testing::StartsWith("req_"));
  std::istringstream lines(results.body);
  std::map<std::string, std::string> types;
  for (std::string line; std::getline(lines, line);) {
    const json::value result = parse(line);
    types[std::string(result.at("custom_id").get_string())] =
        std::string(result.at("result").at("type").get_string());
  }
  EXPECT_THAT(types, testing::ElementsAre(testing::Pair("bad", "errored"),
                                          testing::Pair("one", "succeeded"),
                                          testing::Pair("two", "succeeded")));
  EXPECT_THAT(results.body, AllOf(HasSubstr("Hello world"), HasSubstr("not_found_error")));
}

TEST_F(BatchRoutes, HaveTheTextOfTheirPdfFiles) {
  options.read_pdf = [](std::string_view pdf) -> Result<std::string> {
    EXPECT_EQ(pdf, "%PDF");
    return "the text of the file";
  };
  const std::string id =
      create({R"({"custom_id":"one","params":{"model":"scripted","max_tokens":9,)"
              R"("messages":[{"role":"user","content":[{"type":"document",)"
              R"("source":{"type":"base64","media_type":"application/pdf",)"
              R"("data":"JVBERg=="}}]}]}})"});
  EXPECT_EQ(count(wait_until_ended(id), "succeeded"), 1U);
}

TEST_F(BatchRoutes, RunAtLowPriority) {
  create({request("one")});
  const auto running = provider->wait_for(0, soon());
  ASSERT_NE(running, nullptr);
  EXPECT_EQ(running->request().priority, Priority::kBatch);
  EXPECT_EQ(running->request().model, "onnx-local/scripted");
}

TEST_F(BatchRoutes, AreListedRetrievedCancelledAndDeleted) {
  provider->set_script({});
  const std::string first = create({request("one")});
  const std::string second = create({request("one")});
  const json::value list = parse(ask("GET", "/v1/messages/batches?limit=1").body);
  EXPECT_EQ(list.at("data").at(0).at("id"), json::value(second));
  EXPECT_EQ(list.at("has_more"), true);
  expect_error(ask("DELETE", "/v1/messages/batches/" + first), 400, "invalid_request_error");
  expect_error(ask("GET", "/v1/messages/batches/" + first + "/results"), 400,
               "invalid_request_error");
  ASSERT_NE(provider->wait_for(0, soon()), nullptr);
  const json::value cancelled =
      parse(ask("POST", "/v1/messages/batches/" + first + "/cancel").body);
  EXPECT_NE(cancelled.at("processing_status"), "in_progress");
  EXPECT_EQ(count(wait_until_ended(first), "canceled"), 1U);
  EXPECT_TRUE(provider->wait_for(0, soon())->wait_until_cancelled(soon()));
  const RawResponse deleted = ask("DELETE", "/v1/messages/batches/" + first);
  EXPECT_EQ(parse(deleted.body).at("type"), "message_batch_deleted");
  expect_error(ask("GET", "/v1/messages/batches/" + first), 404, "not_found_error");
  EXPECT_EQ(ask("GET", "/v1/messages/batches/" + second).status, 200U);
}

TEST_F(BatchRoutes, RefuseBatchesThatAreNone) {
  for (const std::string& body :
       {std::string("{}"), body_of({}), body_of({request("a"), request("a")}),
        body_of({request("a b")}), body_of({request(std::string(65, 'x'))})}) {
    expect_error(ask("POST", "/v1/messages/batches", body), 400, "invalid_request_error");
  }
  for (const char* path : {"", "/cancel"}) {
    expect_error(
        ask(*path == 0 ? "GET" : "POST", std::string("/v1/messages/batches/msgbatch_nope") + path),
        404, "not_found_error");
  }
}

TEST_F(BatchRoutes, BelongToTheirKeys) {
  options.keys = *parse_key_file("one-key\nother-key\n");
  const std::string id = create({request("one")}, {"x-api-key: one-key"});
  wait_until_ended(id, {"Authorization: Bearer one-key"});
  expect_error(ask("GET", "/v1/messages/batches/" + id, {}, {"x-api-key: other-key"}), 404,
               "not_found_error");
  EXPECT_EQ(parse(ask("GET", "/v1/messages/batches", {}, {"x-api-key: other-key"}).body).at("data"),
            json::value(json::array{}));
}

TEST_F(BatchRoutes, GoOnAfterARestart) {
  provider->set_script({});
  const std::string id = create({request("one"), request("two")});
  ASSERT_NE(provider->wait_for(0, soon()), nullptr);
  server->stop();
  server.reset();
  provider->set_script(scripted_answer({"later"}));
  EXPECT_EQ(count(wait_until_ended(id), "succeeded"), 2U);
}

TEST_F(BatchRoutes, WaitWhileTheModelIsNotThere) {
  ProviderStatus loading;
  loading.state = ProviderStatus::State::kLoading;
  provider->set_status(loading);
  const std::string id = create({request("one")});
  EXPECT_EQ(count(parse(ask("GET", "/v1/messages/batches/" + id).body), "processing"), 1U);
  wait_for_pending(1);
  ProviderStatus ready;
  ready.state = ProviderStatus::State::kReady;
  provider->set_status(ready);
  EXPECT_EQ(count(wait_until_ended(id), "succeeded"), 1U);
  wait_for_pending(0);
}

TEST_F(BatchRoutes, GiveUpWhatNeverFindsRoom) {
  provider->refuse_with(overloaded("it would never fit"));
  const std::string id = create({request("one")});
  EXPECT_EQ(count(wait_until_ended(id), "errored"), 1U);
}

TEST_F(BatchRoutes, MayBeLargerThanAMessage) {
  limits.body_bytes_max = 1000;
  const std::string padding(2000, ' ');
  const std::string id = create({request("one") + padding});
  EXPECT_EQ(count(wait_until_ended(id), "succeeded"), 1U);
  expect_error(ask("POST", "/v1/messages", padding + message_body(false)), 413,
               "request_too_large");
}

TEST_F(BatchRoutes, ExpireAfterADay) {
  std::atomic<std::int64_t> now_s = 1'000'000;
  options.clock.wall = [&now_s] { return Clock::Wall(std::chrono::seconds(now_s)); };
  provider->set_script({});
  const std::string id = create({request("one")});
  ASSERT_NE(provider->wait_for(0, soon()), nullptr);
  now_s += 24 * 3600;
  EXPECT_EQ(count(wait_until_ended(id), "expired"), 1U);
  server.reset();
}

}  // namespace
}  // namespace onnxlocal
