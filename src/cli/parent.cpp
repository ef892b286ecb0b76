#include "cli/parent.h"

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "cli/exit_code.h"

namespace zt::cli {

void end_stuck(const std::string& failure) {
  const int code = exit_code(CommError(failure));
  std::fprintf(stderr, "zt: [train.watchdog] %s. This rank ends at once.\n(exit code %d)\n",
               failure.c_str(), code);
  std::_Exit(code);
}

EndWithRunner::EndWithRunner(const config::RankEnvironment& rank) {
  if (rank.from_runner) watch_.emplace([] { end_stuck("the launcher of this rank has ended"); });
}

}  // namespace zt::cli
