#include <fmt/format.h>

#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "memory/arena.h"

namespace zt::cli {

int run_version(const Arguments& arguments) {
  if (!arguments.empty()) {
    throw ConfigError(
        fmt::format("[cli.version] unknown argument: got {}, expected none.", arguments.front()));
  }
  std::cout << fmt::format("zerotrain {} (libtorch {})\nGPUs: {} that this build can use\n",
                           ZT_VERSION, ZT_TORCH_VERSION, memory::num_cuda_devices());
  return 0;
}

}  // namespace zt::cli
