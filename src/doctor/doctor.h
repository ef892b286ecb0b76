#pragma once

#include <string>
#include <vector>

#include "memory/view.h"

namespace zt::doctor {

struct DoctorFlags {
  std::string folder = ".";  ///< --dir: whose disk is measured
  std::string json;          ///< --json FILE, - for stdout
  bool quick = false;        ///< --quick: nothing that takes a second
  bool help = false;
  std::string rank_probe;       ///< --rank_probe FILE: a rank of the loopback checks
  Device device = Device::cpu;  ///< --device, of that rank
};

/// Errors: ConfigError listing every problem.
[[nodiscard]] DoctorFlags parse_doctor(const std::vector<std::string>& arguments);
[[nodiscard]] std::string doctor_help();

/// What the program knows of itself.
struct Build {
  std::string versions;  ///< one line
  int num_devices = 0;   ///< GPUs that it can use
  int needed_cuda = 0;   ///< 13000; 0: without CUDA
};

/// Runs all checks, printing each verdict when it is there. Returns the exit code.
/// Errors: ConfigError when the report cannot be written.
int run_doctor(const DoctorFlags& flags, const Build& build);

}  // namespace zt::doctor
