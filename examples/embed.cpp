// Asks a model on this machine, three ways. Run it as: embed [MODEL]
// MODEL is a name in the store, a model folder, a .onnx or a .gguf file; the default model if left
// out.
#include <cstdio>
#include <string_view>
#include <vector>

#include "onnxlocal/model.h"

using onnxlocal::embed::Error;
using onnxlocal::embed::Message;
using onnxlocal::embed::Model;
using onnxlocal::embed::Role;

namespace {

int failed(const char* what, const Error& error) {
  std::fprintf(stderr, "%s: %s (%s)\n", what, error.message.c_str(), error.hint.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // 1. Find the model, load it, say what it is.
  auto model = Model::create({.model = argc > 1 ? argv[1] : ""});
  if (!model) return failed("create", model.error());
  if (const auto loaded = model->initialize(); !loaded) return failed("initialize", loaded.error());
  const auto info = model->model_info();
  std::printf("%s (%s) on %s, context of %u tokens\n", info.name.c_str(), info.architecture.c_str(),
              info.execution_provider.c_str(), info.context_tokens);

  // 2. A whole answer.
  const std::vector<Message> question{{Role::kUser, "What is the capital of France?"}};
  const auto reply = model->generate(question, {.tokens_max = 40, .temperature = 0});
  if (!reply) return failed("generate", reply.error());
  std::printf("%s\n[%u tokens]\n", reply->text.c_str(), reply->usage.output_tokens);

  // 3. An answer as it comes; false from the callback would stop it.
  const auto streamed =
      model->generate({{Role::kSystem, "You are brief."}, {Role::kUser, "Name three colours."}},
                      {.tokens_max = 40, .temperature = 0, .seed = 1}, [](std::string_view text) {
                        std::printf("%.*s", static_cast<int>(text.size()), text.data());
                        return std::fflush(stdout) == 0;
                      });
  if (!streamed) return failed("generate", streamed.error());
  std::printf("\n");

  // 4. Several at once run in one batch.
  const std::vector<std::vector<Message>> batch{{{Role::kUser, "Say hello."}},
                                                {{Role::kUser, "Say goodbye."}}};
  for (const auto& answer : model->generate_batch(batch, {.tokens_max = 20, .temperature = 0})) {
    if (!answer) return failed("generate_batch", answer.error());
    std::printf("- %s\n", answer->text.c_str());
  }
  model->dispose();
  return model->is_initialized() ? 1 : 0;
}
