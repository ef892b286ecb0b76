#include "plan/plan_times.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/text_values.h"
#include "plan/step_estimate.h"
#include "plan/time_model.h"

namespace zt::plan {
namespace {

std::string gb_per_s(double rate) { return fmt::format("{:.0f} GB/s", rate / 1e9); }

}  // namespace

const DeviceLimits& plan_sheet(const PlanFlags& flags, Bytes device_memory) {
  if (flags.device.empty()) return device_of_memory(device_memory);
  if (const auto* device = find_device(flags.device)) return *device;
  throw ConfigError(fmt::format("[plan.flags] --device: got '{}', expected one of {}.",
                                config::shown(flags.device), fmt::join(device_names(), " ")));
}

PlanTimes plan_times(const PlanFlags& flags, const NamedModel& model, const Target& target) {
  const auto* sizes = model.sizes ? model.sizes->as<model::Qwen3Config>() : nullptr;
  const auto& sheet = target.sheet != nullptr ? *target.sheet : cpu_rank();
  if (!flags.device_file.empty() && sizes != nullptr) {
    auto device = read_device_file(flags.device_file);
    device.host = known_or(device.host, sheet_host(sheet, target.local_world));
    const int world = target.world;
    return {[sizes, device, world](const Candidate& candidate, const schedule::Program& program) {
              return predict_step(*sizes, candidate.options, program, world, device).total();
            },
            flags.device_file};
  }
  const auto* any = model.sizes ? &*model.sizes : nullptr;
  const auto host = sheet_host(sheet, target.local_world);
  auto source =
      fmt::format("{}: host link {}, host AdamW {} per rank, disk {} read, {} written",
                  target.sheet != nullptr ? std::string(sheet.name) + " by its data sheet"
                                          : "guesses for CPU ranks, to compare settings by",
                  gb_per_s(host.download), gb_per_s(host.optimizer), gb_per_s(host.disk_read),
                  gb_per_s(host.disk_write));
  return {[&sheet, any, &target](const Candidate& candidate, const schedule::Program& program) {
            const auto rates = sheet_rates(sheet, candidate, any, target.local_world);
            return estimate_step(candidate, program, target.world, rates).length;
          },
          std::move(source)};
}

}  // namespace zt::plan
