#pragma once

#include <string>
#include <vector>

namespace zt::cli {

using Arguments = std::vector<std::string>;

/// One subcommand of `zt`. `run` gets what follows the name and returns the exit code; errors leave
/// it as exceptions.
struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments& arguments);
};

/// All subcommands, in the order of `zt help`.
[[nodiscard]] const std::vector<Command>& commands();

/// Runs `zt <arguments>`. Errors: ConfigError for an unknown command, naming the nearest one.
int dispatch(const Arguments& arguments);

/// True when a word is `--help` or `-h`.
[[nodiscard]] bool asks_for_help(const Arguments& arguments);

/// Text of `zt ckpt --help`.
[[nodiscard]] std::string ckpt_help();

/// Text of `zt config --help`.
[[nodiscard]] std::string config_help();

/// Text of `zt data --help`.
[[nodiscard]] std::string data_help();

int run_train(const Arguments& arguments);
int run_run(const Arguments& arguments);
int run_launch(const Arguments& arguments);
int run_plan(const Arguments& arguments);
int run_bench(const Arguments& arguments);
int run_data(const Arguments& arguments);
int run_ckpt(const Arguments& arguments);
int run_config(const Arguments& arguments);
int run_doctor(const Arguments& arguments);
int run_version(const Arguments& arguments);
int run_help(const Arguments& arguments);

}  // namespace zt::cli
