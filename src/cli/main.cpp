#include <cstdio>
#include <exception>

#include "cli/commands.h"
#include "cli/exit_code.h"
#include "config/env.h"
#include "launch/rank_report.h"

/// Turns errors into one report and an exit code; nothing else ends the process.
int main(int argc, char** argv) {
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
