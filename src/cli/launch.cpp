#include "launch/launch_flags.h"

#include <filesystem>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/start_ranks.h"
#include "memory/arena.h"

namespace zt::cli {
namespace {

/// True for this very program, under whatever path.
bool is_this_program(const std::string& program) {
  if (program == "zt") return true;
  std::error_code error;
  return std::filesystem::equivalent(program, "/proc/self/exe", error);
}

}  // namespace

int run_launch(const Arguments& arguments) {
  auto [options, wants_help] = launch::parse_launch(arguments, memory::num_cuda_devices());
  if (wants_help) {
    std::cout << launch::launch_help();
    return 0;
  }
  if (!is_this_program(options.program)) {
    log::init(0, log::Level::info);
    options.pass_socket = false;
    return launch::run_ranks(options);
  }
  options.program = "zt";
  options.executable = "/proc/self/exe";
  return start_ranks(options);
}

}  // namespace zt::cli
