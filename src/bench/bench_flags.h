#pragma once

#include <optional>
#include <string>
#include <vector>

namespace zt::bench {

/// The flags of `zt bench` that `zt train` does not have; the rest are its flags.
struct BenchFlags {
  std::string model;              ///< --model: folder or shape
  std::optional<int> zero_stage;  ///< --zero_stage, over the DeepSpeed JSON's
  int steps = 20;                 ///< --steps: measured
  int warmup = 4;                 ///< --warmup: steps before
  bool ceiling = true;            ///< --ceiling: also GEMMs and attention alone
  bool profile = true;            ///< --shares: a second pass with every operation timed
  std::string json;               ///< --json FILE: the row is appended
  std::string trace;              ///< --trace FILE: operations of the timed pass
  std::string device_file;        ///< --device_file FILE: predicts the row's step
  std::string calibrate;          ///< --calibrate FILE: measures the device instead of a row
  bool help = false;
  std::vector<std::string> rest;  ///< for config::resolve
};

/// Splits the arguments. Errors: ConfigError listing every wrong value.
BenchFlags parse_bench_flags(const std::vector<std::string>& args);

/// What parse_bench_flags reads, as help text.
std::string bench_flags_help();

}  // namespace zt::bench
