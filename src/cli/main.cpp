#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <exception>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "config/env.h"
#include "launch/rank_report.h"

namespace {

/// Files of a large checkpoint and connections of many ranks: the usual limit of 1024 is there for
/// programs that ask select() about their descriptors, and stays changeable.
void allow_many_files() {
  constexpr rlim_t kMost = 65536;
  struct rlimit limit {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kMost) return;
  limit.rlim_cur = std::min(limit.rlim_max, kMost);
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

/// Turns errors into one report and an exit code; nothing else ends the process.
int main(int argc, char** argv) {
  allow_many_files();
  try {
    return zt::cli::dispatch({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    const int code = zt::cli::exit_code(error);
    std::fprintf(stderr, "zt: %s\n(exit code %d)\n", error.what(), code);
    const auto variables = zt::config::read_environment();
    if (const auto file = variables.find("TORCHELASTIC_ERROR_FILE"); file != variables.end()) {
      zt::launch::write_report(file->second, error.what());
    }
    return code;
  }
}
