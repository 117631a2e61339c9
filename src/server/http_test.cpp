// The parts of HTTP that need no socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/http_message.h"
#include "server/http_parser.h"
#include "server/middleware/host_check.h"
#include "server/middleware/request_id.h"
#include "server/router.h"

namespace onnxlocal {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HttpMessage, DecodesPercentEscapes) {
  EXPECT_EQ(percent_decode("onnx-local%2Fx%20y"), "onnx-local/x y");
  EXPECT_EQ(percent_decode("%"), "%");
  EXPECT_EQ(percent_decode("%4"), "%4");
  EXPECT_EQ(percent_decode("%zz%41"), "%zzA");
}

TEST(HttpMessage, FindsFieldsOfTheQuery) {
  EXPECT_EQ(query_value("limit=2&after_id=a%2Fb", "after_id"), "a/b");
  EXPECT_EQ(query_value("limit", "limit"), "");
  EXPECT_EQ(query_value("limits=2", "limit"), std::nullopt);
  EXPECT_EQ(query_value("", "limit"), std::nullopt);
}

TEST(HttpMessage, FindsHeadersWhateverTheirCase) {
  EXPECT_EQ(find_header({{"X-Api-Key", "k"}}, "x-api-key"), "k");
  EXPECT_EQ(find_header({{"X-Api-Key", "k"}}, "x-api"), std::nullopt);
}

TEST(HttpMessage, LetsNoHeaderValueEndALine) {
  HttpResponse response;
  response.headers.push_back({"x", "a\r\nset-cookie: b"});
  EXPECT_THAT(serialize_head(response, BodyFraming::kLength, true), Not(HasSubstr("\nset-cookie")));
}

TEST(HttpParser, ReadsARequestInPieces) {
  HttpParser parser{ServerLimits{}};
  std::string bytes;
  for (const char byte :
       std::string("POST /a%2Fb?q=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET")) {
    bytes += byte;
    if (parser.is_done()) continue;
    const auto taken = parser.consume(bytes);
    ASSERT_TRUE(taken.has_value());
    bytes.erase(0, *taken);
  }
  ASSERT_TRUE(parser.is_done());
  EXPECT_EQ(bytes, "GET");
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/a%2Fb");
  EXPECT_EQ(request.query, "q=1");
  EXPECT_EQ(request.body, "hi");
  EXPECT_TRUE(request.keep_alive);
}

TEST(Router, ComparesPathsAsTheyCame) {
  const std::vector<Route> routes = {{"GET", "/v1/models/{id}", RunsOn::kNetwork, {}},
                                     {"POST", "/v1/messages", RunsOn::kWorker, {}}};
  const auto match = [&](std::string method, std::string path) {
    HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    return match_route(routes, request, "req_1");
  };
  EXPECT_EQ(match("GET", "/v1/models/a%2Fb").parameter, "a/b");
  EXPECT_EQ(match("HEAD", "/v1/models/a/b").parameter, "a/b");
  EXPECT_EQ(match("GET", "/v1/models/").refusal.status, 404U);
  EXPECT_EQ(match("GET", "/v1%2Fmodels/a").refusal.status, 404U);
  EXPECT_EQ(match("PUT", "/v1/messages").refusal.status, 405U);
  EXPECT_EQ(match("POST", "/v1/messages/").refusal.status, 404U);
}

TEST(HostCheck, KnowsTheNamesOfThisMachine) {
  for (const char* name :
       {"localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.8.7", "::1"}) {
    EXPECT_TRUE(is_loopback_name(name)) << name;
  }
  for (const char* name : {"evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0",
                           "128.0.0.1", "", "notlocalhost"}) {
    EXPECT_FALSE(is_loopback_name(name)) << name;
  }
}

TEST(HostCheck, FindsTheHostInAnAuthority) {
  EXPECT_EQ(host_of_authority("localhost:3001"), "localhost");
  EXPECT_EQ(host_of_authority("[::1]:3001"), "::1");
  EXPECT_EQ(host_of_authority("::1"), "::1");
  EXPECT_EQ(host_of_authority("[::1"), "");
}

HttpRequest page(std::string host, std::string origin) {
  HttpRequest request;
  request.headers = {{"Host", std::move(host)}, {"Origin", std::move(origin)}};
  return request;
}

TEST(HostCheck, LetsPagesOfThisMachineAndOfTheListIn) {
  const PagePolicy policy{.loopback_only = true, .allowed_origins = {"https://chat.example"}};
  EXPECT_FALSE(foreign_page(page("localhost", "http://localhost:5173"), policy));
  EXPECT_FALSE(foreign_page(page("localhost", "HTTPS://Chat.Example"), policy));
  for (const char* origin : {"null", "https://evil.example", "https://chat.example:8443", "",
                             "https://chat.example.evil.example", "http://chat.example"}) {
    EXPECT_TRUE(foreign_page(page("localhost", origin), policy)) << origin;
  }
}

TEST(HostCheck, LetsOnlyItsOwnAddressesPagesInWhereOthersReachTheServer) {
  const PagePolicy policy{.loopback_only = false, .allowed_origins = {}};
  EXPECT_FALSE(foreign_page(page("10.0.0.5:3001", "http://10.0.0.5:3001"), policy));
  EXPECT_TRUE(foreign_page(page("10.0.0.5:3001", "http://localhost:5173"), policy));
  // The name may have been rebound.
  EXPECT_TRUE(foreign_page(page("evil.example:3001", "http://evil.example:3001"), policy));
  HttpRequest no_page;
  no_page.headers = {{"Host", "box.local:3001"}};
  EXPECT_FALSE(foreign_page(no_page, policy));
}

TEST(HostCheck, LooksAtEveryHostThatIsThere) {
  HttpRequest request;
  request.headers = {{"Host", "localhost"}, {"Host", "evil.example"}};
  EXPECT_TRUE(foreign_page(request, PagePolicy{}));
}

TEST(HostCheck, TakesOriginsAsBrowsersSendThem) {
  EXPECT_EQ(parse_origin("https://Chat.Example:8080").value_or(""), "https://chat.example:8080");
  EXPECT_EQ(parse_origin("chrome-extension://abcdef").value_or(""), "chrome-extension://abcdef");
  for (const char* text :
       {"*", "", "chat.example", "https://chat.example/", "https://*.example", "https://",
        "://chat.example", "https://user@chat.example", "https://a b"}) {
    EXPECT_FALSE(parse_origin(text).has_value()) << text;
  }
}

TEST(HttpParser, SaysThatABodyIsTooLargeBeforeItComes) {
  HttpParser parser{ServerLimits{}};
  const std::string head = "POST /v1/messages HTTP/1.1\r\nContent-Length: 1000\r\n\r\n";
  ASSERT_EQ(parser.consume(head + "body").value_or(0), head.size());
  EXPECT_EQ(parser.head().path, "/v1/messages");
  const auto limited = parser.limit_body(999);
  ASSERT_FALSE(limited.has_value());
  EXPECT_EQ(limited.error().status, 413U);
  EXPECT_THAT(limited.error().message, HasSubstr("999 bytes"));
}

TEST(RequestId, IsNeverTheSame) {
  IdGenerator ids(1);
  const std::string first = ids.make("req_");
  EXPECT_EQ(first.size(), 28U);
  EXPECT_NE(first, ids.make("req_"));
}

}  // namespace
}  // namespace onnxlocal
