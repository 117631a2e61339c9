// Any bytes as what a client sends, cut into two reads: the parser, the routes and the handlers
// with a scripted provider. Each request gets one reply with a status; none crashes.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "scripted_provider.h"
#include "server/http_parser.h"
#include "server/middleware/host_check.h"
#include "server/routes.h"

namespace {

using namespace onnxlocal;

void answer(const std::vector<Route>& routes, const HttpRequest& request) {
  static_cast<void>(foreign_page(request, {}));
  RouteMatch match = match_route(routes, request, "req_fuzz");
  if (match.route == nullptr) {
    CHECK(match.refusal.status == 404 || match.refusal.status == 405);
    return;
  }
  std::size_t events = 0;
  RequestContext context{.request_id = "req_fuzz",
                         .message_id = "msg_fuzz",
                         .client = {},
                         .parameter = std::move(match.parameter),
                         .sink = [&events](GenerationEvent) { ++events; }};
  const Reply reply = match.route->handler(request, std::move(context));
  if (const auto* response = std::get_if<HttpResponse>(&reply)) {
    CHECK(response->status >= 200);
    const std::string head = serialize_head(*response, BodyFraming::kLength, true);
    CHECK(head.find("\r\n\r\n") == head.size() - 4);
  } else {
    CHECK(events > 0);
  }
}

/// True where the whole input was read as requests.
void feed(const std::vector<Route>& routes, std::string_view bytes, std::size_t first_piece) {
  ServerLimits limits;
  limits.header_bytes_max = 4096;
  limits.body_bytes_max = 4096;
  limits.batch_bytes_max = 4096;
  std::string input(bytes.substr(0, first_piece));
  std::string_view rest = bytes.substr(first_piece);
  HttpParser parser(limits);
  bool is_in_body = false;
  while (!input.empty()) {
    const auto taken = parser.consume(input);
    if (!taken) {
      CHECK(taken.error().status >= 400);
      return;
    }
    CHECK(*taken <= input.size());
    input.erase(0, *taken);
    if (parser.is_done()) {
      answer(routes, parser.take());
      parser = HttpParser(limits);
      is_in_body = false;
      if (!input.empty()) continue;
    } else if (parser.has_header() && !is_in_body) {
      is_in_body = true;
      static_cast<void>(foreign_page(parser.head(), {}));
      if (!parser.limit_body(limits.body_bytes_max)) return;
      if (!input.empty()) continue;
    }
    if (rest.empty()) return;
    input += rest;
    rest = {};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto provider = std::make_shared<ScriptedProvider>();
  provider->set_script(scripted_answer({"x"}));
  const std::vector<Route> routes = make_routes({.models = {.provider = provider},
                                                 .metrics = std::make_shared<Metrics>(Clock()),
                                                 .batches = nullptr,
                                                 .started = std::chrono::steady_clock::now()});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  feed(routes, bytes, size);
  feed(routes, bytes, size == 0 ? 0 : data[0] % size);
  return 0;
}
