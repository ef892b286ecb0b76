#include <fmt/format.h>

#include <iostream>

#include "base/error.h"
#include "bench/run_bench.h"
#include "cli/commands.h"
#include "config/resolve.h"
#include "doctor/doctor.h"
#include "launch/launch_flags.h"
#include "plan/run_plan.h"

namespace zt::cli {
namespace {

std::string list_of_commands() {
  std::string text =
      "zt: trains large language models with ZeRO\n\nusage: zt <command> [flags]\n\n";
  for (const auto& command : commands()) {
    text += fmt::format("  {:<10}{}\n", command.name, command.summary);
  }
  return text + "\n`zt help <command>` lists the flags of a command.\n";
}

std::string help_of(const Command& command) {
  const std::string name = command.name;
  if (name == "train" || name == "run") return config::help_text(name);
  if (name == "launch") return launch::launch_help();
  if (name == "plan") return plan::plan_help();
  if (name == "bench") return bench::bench_flags_help();
  if (name == "data") return data_help();
  if (name == "ckpt") return ckpt_help();
  if (name == "config") return config_help();
  if (name == "doctor") return doctor::doctor_help();
  if (name == "help") return list_of_commands();
  return fmt::format("usage: zt {}\n\n{}\n", name, command.summary);
}

}  // namespace

int run_help(const Arguments& arguments) {
  if (arguments.empty() || asks_for_help(arguments)) {
    std::cout << list_of_commands();
    return 0;
  }
  if (arguments.size() > 1) {
    throw ConfigError(fmt::format("[cli.help] got {} words, expected one command. See zt help.",
                                  arguments.size()));
  }
  for (const auto& command : commands()) {
    if (arguments.front() != command.name) continue;
    std::cout << help_of(command);
    return 0;
  }
  return dispatch(arguments);  // which refuses it and names the nearest one
}

}  // namespace zt::cli
