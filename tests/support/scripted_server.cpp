// A server whose model is a script (raw_text_provider.h), for clients that are other programs:
//   scripted_server --port N --script FILE [--batches FOLDER]
// Prints its URL once it answers; SIGINT or SIGTERM ends it.
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "raw_text_provider.h"
#include "server/server.h"

namespace {

int complain(const std::string& what) {
  std::fprintf(stderr, "scripted_server: %s\n", what.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace onnxlocal;
  ServerOptions options;
  options.port = 0;
  std::string script_file;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag(argv[i]);
    const std::string_view value(argv[i + 1]);
    if (flag == "--port") {
      std::from_chars(value.data(), value.data() + value.size(), options.port);
    } else if (flag == "--script") {
      script_file = value;
    } else if (flag == "--batches") {
      options.batch_folder = value;
    } else {
      return complain("takes --port N --script FILE [--batches FOLDER]");
    }
  }
  auto script = RawTextScript::load(script_file);
  if (!script) return complain(describe(script.error()));
  const auto server = Server::start(options, std::make_shared<RawTextProvider>(*std::move(script)));
  if (!server) return complain(describe(server.error()));
  (*server)->catch_signals();
  std::printf("%s\n", (*server)->url().c_str());
  std::fflush(stdout);
  return (*server)->run_until_signal() ? 0 : 1;
}
