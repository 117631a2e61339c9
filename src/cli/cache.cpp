#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cli/cache_settings.h"
#include "cli/program.h"
#include "engine/disk_pool.h"
#include "store/model_name.h"

namespace onnxlocal {

std::filesystem::path prefix_folder(const CommandContext& context) {
  const std::string& chosen = context.settings.cache_dir;
  return chosen.empty() ? context.store.paths().cache / "prefixes" : std::filesystem::path(chosen);
}

DiskCacheOptions disk_cache_options(const CommandContext& context) {
  DiskCacheOptions options;
  if (!context.settings.disk_cache_bytes) return options;
  options.folder = prefix_folder(context);
  options.bytes_max = *context.settings.disk_cache_bytes;
  return options;
}

namespace {

std::uint64_t seconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::seconds>(now).count());
}

std::string human_age(std::uint64_t then, std::uint64_t now) {
  const std::uint64_t seconds = now > then ? now - then : 0;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} days", seconds / 86400);
}

json::object to_json_object(const DiskPoolSummary& pool, std::uint64_t now) {
  json::array scopes;
  for (const auto& scope : pool.scopes) {
    scopes.push_back(
        {{"scope", scope.id},
         {"tokens", scope.blocks * pool.key.block_tokens},
         {"size_bytes", scope.size_bytes},
         {"last_use_seconds_ago", now > scope.last_use ? now - scope.last_use : 0},
         {"first_use_seconds_ago", now > scope.first_use ? now - scope.first_use : 0}});
  }
  return {{"model", pool.key.model},       {"model_hash", pool.key.model_hash},
          {"layout", pool.key.layout_id},  {"path", pool.folder.string()},
          {"size_bytes", pool.size_bytes}, {"scopes", std::move(scopes)}};
}

Result<ExitCode> run_cache_list(bool is_json, const CommandContext& context) {
  const std::filesystem::path folder = prefix_folder(context);
  const auto pools = list_disk_pools(folder);
  const std::uint64_t now = seconds_now();
  if (is_json) {
    json::array list;
    for (const DiskPoolSummary& pool : pools) list.push_back(to_json_object(pool, now));
    print_json(json::object{{"path", folder.string()}, {"models", std::move(list)}});
    return ExitCode::kOk;
  }
  if (pools.empty()) {
    fmt::print("No prefixes in {}.\n", folder.string());
    return ExitCode::kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"MODEL", "LAYOUT", "SCOPE", "TOKENS", "SIZE", "USED", "OLDEST"}};
  std::uint64_t all = 0;
  for (const DiskPoolSummary& pool : pools) {
    all += pool.size_bytes;
    for (const auto& scope : pool.scopes) {
      rows.push_back({pool.key.model, pool.key.layout_id, scope.id.substr(0, 8),
                      fmt::format("{}", scope.blocks * pool.key.block_tokens),
                      human_bytes(scope.size_bytes), human_age(scope.last_use, now),
                      human_age(scope.first_use, now)});
    }
  }
  fmt::print("{}{} in {}\n", table(rows), human_bytes(all), folder.string());
  return ExitCode::kOk;
}

Result<ExitCode> run_cache_clear(const std::string& model, bool is_json,
                                 const CommandContext& context) {
  const std::filesystem::path folder = prefix_folder(context);
  const auto removal = remove_disk_pools(folder, without_prefix(model));
  if (removal.in_use > 0) {
    return std::unexpected(
        unavailable(fmt::format("{} of {} models' prefixes are in use", removal.in_use,
                                removal.in_use + removal.removed),
                    "Stop the server that uses them, then clear again."));
  }
  if (is_json) {
    print_json(json::object{{"removed", removal.removed}, {"size_bytes", removal.size_bytes}});
  } else {
    fmt::print("Removed {} of prefixes.\n", human_bytes(removal.size_bytes));
  }
  return ExitCode::kOk;
}

}  // namespace

void add_cache(CLI::App& app, CommandLine& line) {
  CLI::App* command =
      app.add_subcommand("cache", "Show the prefixes that are kept on disk, or remove them");
  line.add_json(*command);
  line.add_setting(*command, "cache_dir", "Where they are; else in the cache folder");
  CLI::App* clear =
      command->add_subcommand("clear", "Remove them; a server must not be using them");
  clear->fallthrough();
  const auto model = std::make_shared<std::string>();
  clear->add_option("--model", *model, "Only this model's")->type_name("NAME");
  command->require_subcommand(0, 1);
  command->footer("Example:\n  onnx-local cache");
  clear->footer("Example:\n  onnx-local cache clear");
  command->callback([&line, clear, model] {
    const bool clears = clear->parsed();
    line.command = [&line, clears, model](CommandContext& context) {
      return clears ? run_cache_clear(*model, line.is_json, context)
                    : run_cache_list(line.is_json, context);
    };
  });
}

}  // namespace onnxlocal
