#include "doctor/doctor.h"

#include <fmt/format.h>

#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "cli/commands.h"
#include "config/env.h"
#include "doctor/loopback.h"
#include "memory/arena.h"

namespace zt::cli {

int run_doctor(const Arguments& arguments) {
  const doctor::DoctorFlags flags = doctor::parse_doctor(arguments);
  if (flags.help) {
    std::cout << doctor::doctor_help();
    return 0;
  }
  if (!flags.rank_probe.empty()) {
    const auto rank = config::rank_environment(config::read_environment());
    if (!rank) {
      throw ConfigError(
          "[cli.doctor] --rank_probe is for the ranks that zt doctor starts. Leave it out.");
    }
    log::init(rank->rank, log::Level::error);
    doctor::run_probe(*rank, flags.device, flags.rank_probe);
    return 0;
  }
  log::init(0, log::Level::error);
  return doctor::run_doctor(
      flags, {.versions = fmt::format("zerotrain {}, libtorch {}", ZT_VERSION, ZT_TORCH_VERSION),
              .num_devices = memory::num_cuda_devices(),
              .needed_cuda = ZT_CUDA_VERSION});
}

}  // namespace zt::cli
