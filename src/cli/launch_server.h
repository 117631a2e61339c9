#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/launch_http.h"
#include "cli/launch_process.h"
#include "cli/launch_variables.h"
#include "cli/program.h"

namespace onnxlocal {

/// A model that a server offers.
struct OfferedModel {
  std::string id;
  std::uint32_t context_tokens = 0;
};

/// From the body of `/v1/models`. Errors: internal (it is none).
Result<std::vector<OfferedModel>> parse_offered_models(std::string_view body);

/// The one that `wanted` names ("NAME" or "onnx-local/NAME"), the first where nothing is named.
/// Errors: not_found (names those there are).
Result<OfferedModel> choose_offered(const std::vector<OfferedModel>& models,
                                    std::string_view wanted);

/// A server of ours that answers, and the model to talk to. Where it was started here, it ends with
/// this value.
struct LaunchedServer {
  ServerAddress address;
  OfferedModel model;
  std::optional<ChildProcess> process = std::nullopt;
};

/// Finds the server on the chosen port, or starts one with the same settings and waits until its
/// model is loaded. Errors: unavailable (something else uses the port, the server ended, its model
/// cannot be loaded), not_found (another model is served), cancelled (a signal came).
Result<LaunchedServer> find_or_start_server(const CommandLine& line, const CommandContext& context,
                                            const LaunchSignals& signals);

/// What the running server offers, or what one with these settings would, without starting it.
Result<LaunchedServer> describe_server(const CommandContext& context);

/// What to show the server: `ONNX_LOCAL_API_KEY`, else any text, for it may want none.
std::string client_key();

/// Where the client of `server` is pointed at. Any thread.
ClaudeTarget claude_target(const LaunchedServer& server);

}  // namespace onnxlocal
