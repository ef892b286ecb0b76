#include <fmt/format.h>

#include <iostream>
#include <optional>

#include "base/error.h"
#include "cli/run_task.h"
#include "config/resolve.h"
#include "config/text_distance.h"

namespace zt::cli {
namespace {

const std::vector<std::string>& task_names() {
  static const std::vector<std::string> kNames{"train", "test", "predict"};
  return kNames;
}

config::Task parse_task(const std::string& name) {
  if (name == "train") return config::Task::train;
  if (name == "test") return config::Task::test;
  if (name == "predict") return config::Task::predict;
  throw ConfigError(
      fmt::format("[cli.run] unknown task: got '{}', expected train, test or predict. Did you mean "
                  "'{}'?",
                  name, config::nearest(name, task_names()).name));
}

}  // namespace

config::Task take_task(Arguments& flags) {
  constexpr std::string_view kFlag = "--task", kWithValue = "--task=";
  std::optional<config::Task> task;
  Arguments rest;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    const bool joined = flags[i].rfind(kWithValue, 0) == 0;
    if (flags[i] != kFlag && !joined) {
      rest.push_back(flags[i]);
      continue;
    }
    if (task) throw ConfigError("[cli.run] --task: got it twice, expected once. Remove one.");
    if (!joined && i + 1 == flags.size()) {
      throw ConfigError("[cli.run] --task: got no value, expected train, test or predict.");
    }
    task = parse_task(joined ? flags[i].substr(kWithValue.size()) : flags[++i]);
  }
  flags = rest;
  return task.value_or(config::Task::train);
}

int run_run(const Arguments& arguments) {
  if (asks_for_help(arguments)) {
    std::cout << config::help_text("run");
    return 0;
  }
  auto flags = arguments;
  const auto task = take_task(flags);
  auto words = arguments;
  words.insert(words.begin(), "run");
  return run_task(task, flags, words);
}

}  // namespace zt::cli
