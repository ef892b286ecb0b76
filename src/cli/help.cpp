#include <fmt/format.h>

#include <iostream>

#include "cli/commands.h"
#include "config/resolve.h"
#include "doctor/doctor.h"
#include "launch/launch_flags.h"
#include "plan/run_plan.h"

namespace zt::cli {

int run_help(const Arguments& arguments) {
  if (!arguments.empty()) {
    if (arguments.front() == "launch") {
      std::cout << launch::launch_help();
      return 0;
    }
    if (arguments.front() == "doctor") {
      std::cout << doctor::doctor_help();
      return 0;
    }
    if (arguments.front() == "ckpt") {
      std::cout << ckpt_help();
      return 0;
    }
    if (arguments.front() == "plan") std::cout << plan::plan_help() << '\n';
    std::cout << config::help_text(arguments.front());
    return 0;
  }
  std::cout << "zt: trains large language models with ZeRO\n\nusage: zt <command> [flags]\n\n";
  for (const auto& command : commands()) {
    std::cout << fmt::format("  {:<10}{}\n", command.name, command.summary);
  }
  std::cout << "\n`zt help <command>` lists the flags of a command.\n";
  return 0;
}

}  // namespace zt::cli
