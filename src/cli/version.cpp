#include <fmt/format.h>

#include <iostream>

#include "base/error.h"
#include "cli/commands.h"

namespace zt::cli {

int run_version(const Arguments& arguments) {
  if (!arguments.empty()) {
    throw ConfigError(
        fmt::format("[cli.version] unknown argument: got {}, expected none.", arguments.front()));
  }
  std::cout << fmt::format("zerotrain {} (libtorch {})\n", ZT_VERSION, ZT_TORCH_VERSION);
  return 0;
}

}  // namespace zt::cli
