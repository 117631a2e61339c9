#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/anthropic/documents.h"
#include "base/result.h"
#include "provider/embeddings.h"
#include "provider/provider.h"
#include "server/clock.h"
#include "server/limits.h"
#include "server/middleware/api_keys.h"
#include "server/model_aliases.h"

namespace onnxlocal {

struct ServerOptions {
  std::string host = "127.0.0.1";  ///< An address or a name; a name is resolved once.
  std::uint16_t port = 3001;       ///< 0 takes a free one.
  unsigned workers = 2;            ///< Threads that decode, render and tokenize requests.
  ServerLimits limits = {};

  /// Who may ask. None: everybody who reaches the address.
  std::vector<ApiKey> keys = {};
  /// Reads the keys again at SIGHUP (see `catch_signals`); empty where they do not change.
  std::function<Result<std::vector<ApiKey>>()> reload_keys = {};
  /// Without keys a server is bound to this machine alone, unless this is true.
  bool allow_unauthenticated = false;
  KeyLimits default_limits = {};  ///< For keys that have none, and for everybody without keys.
  /// Pages that may use it, as `parse_origin` gives them.
  std::vector<std::string> cors_origins = {};
  ModelAliases aliases = {};
  /// Where batches are kept; none without it. One server at a time has the folder.
  std::filesystem::path batch_folder = {};
  /// Gives the text of PDF files in requests, on a worker; without it they are refused.
  anthropic::PdfReader read_pdf = {};
  EmbeddingModels embeddings = {};  ///< Listed beside the provider's models.
  Clock clock = {};
};

/// Answers the Anthropic Messages API over HTTP/1.1 from one provider: one network thread, a few
/// workers. Any thread may call any method.
class Server {
 public:
  /// Binds and begins to answer. The provider may still be loading, or have failed: requests and
  /// /health then say so.
  /// Errors: invalid_request (the host does not resolve; no key for an address that others reach),
  /// unavailable (the port is taken, or may not be bound), internal.
  static Result<std::unique_ptr<Server>> start(ServerOptions options,
                                               std::shared_ptr<Provider> provider);
  /// Cancels what runs, closes every connection, joins. `stop` first is the graceful way.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// The port that is bound.
  std::uint16_t port() const;
  /// "http://HOST:PORT", as a client on this machine would write it.
  std::string url() const;

  /// Stops accepting, closes idle connections, lets running requests finish for `limits.drain`,
  /// cancels the rest (their clients are told), closes, joins. The provider is left as it is: shut
  /// it down afterwards. The second call does nothing. True where nothing had to be cancelled.
  bool stop();

  /// From now on SIGHUP reads the keys again, and SIGINT and SIGTERM wait for `run_until_signal`,
  /// which calls this too. Call it before anyone is told that the server is there: the signal may
  /// come at once.
  void catch_signals();

  /// Waits for SIGINT or SIGTERM, then stops as above. A second signal ends the process at once
  /// (exit code 128 + signal). One server of a process may do this.
  bool run_until_signal();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace onnxlocal
