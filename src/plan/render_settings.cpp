#include <fmt/format.h>

#include "base/policy_names.h"
#include "plan/settings.h"
#include "plan/table.h"

namespace zt::plan {
namespace {

double gib(Bytes bytes) { return static_cast<double>(bytes.value) / (1024. * 1024. * 1024.); }

const char* device_name(Place place) {
  return place == Place::host ? "cpu" : place == Place::nvme ? "nvme" : "none";
}

/// ` (12.3 GiB too much)`, or nothing.
std::string excess(double needed, double there) {
  return there > 0 && needed > there ? fmt::format(" ({:.1f} GiB too much)", needed - there) : "";
}

}  // namespace

std::string setting_name(const zero::EngineOptions& options) {
  const auto& zero = options.zero;
  auto text = fmt::format("stage {}", zero.stage);
  if (zero.optimizer_place == Place::device && zero.param_place == Place::device) {
    text += ", no offload";
  }
  if (zero.optimizer_place != Place::device) {
    text += fmt::format(", optimizer {}", device_name(zero.optimizer_place));
    if (zero.offload_ratio < 1) text += fmt::format(" (ratio {:.2f})", zero.offload_ratio);
  }
  if (zero.param_place != Place::device) {
    text += fmt::format(", params {}", device_name(zero.param_place));
  }
  return text + fmt::format(", recompute {}", to_string(zero.recompute.value_or(Recompute::none)));
}

std::string reason(const Settings& settings, const Target& target) {
  const auto offloads = [](const Setting& setting) {
    return setting.asked.zero.optimizer_place != Place::device ||
           setting.asked.zero.param_place != Place::device;
  };
  const auto& taken = settings.fitting.front();
  if (!offloads(taken)) {
    return settings.fitting.size() > 1 ? "why: no offload that fits is predicted to be faster\n"
                                       : "why: nothing has to leave the device\n";
  }
  std::string text;
  const auto add = [&text](const std::string& part) {
    text += (text.empty() ? "why: " : "; ") + part;
  };
  for (const auto& setting : settings.too_large) {
    const auto& memory = setting.chosen.memory;
    if (offloads(setting)) continue;
    add(fmt::format(
        "without offload a rank needs {:.1f} GiB at least, of {:.1f} GiB that it may use",
        gib(memory.device_total()), kUsableShare * gib(target.device_memory)));
  }
  for (const auto& setting : settings.fitting) {
    if (offloads(setting)) continue;
    add(fmt::format("without offload a step is predicted to take {:.3f} s", setting.seconds));
  }
  const auto& zero = taken.asked.zero;
  if (zero.offload_ratio < 1) add("smaller ratios do not fit or are slower");
  if (zero.optimizer_place == Place::nvme) {
    for (const auto& setting : settings.too_large) {
      if (setting.asked.zero.optimizer_place != Place::host) continue;
      add(fmt::format("in host memory all ranks would need {:.1f} GiB of {:.1f} GiB",
                      gib(setting.chosen.host_of_machine(target)), gib(target.host_memory)));
      break;
    }
  }
  if (settings.fitting.size() > 1) {
    const auto& next = settings.fitting[1];
    const auto* simpler = next.seconds < taken.seconds ? " (too little for what it adds)" : "";
    add(fmt::format("next best: {} at {:.3f} s, beside {:.3f} s{}", setting_name(next.asked),
                    next.seconds, taken.seconds, simpler));
  }
  return text.empty() ? text : text + "\n";
}

std::string render(const Settings& settings, const Target& target) {
  std::string text;
  if (!settings.fitting.empty()) {
    text += fmt::format("  {:>9} {:>10} {:>10} {:>9} {:>9}  {}\n", "s/step", "tokens/s",
                        "device GiB", "host GiB", "disk GiB", "setting");
  }
  for (const auto& setting : settings.fitting) {
    const auto& memory = setting.chosen.memory;
    const auto& options = setting.chosen.options;
    const auto tokens =
        static_cast<double>(options.shape.tokens() * options.micro_steps * target.world);
    text += fmt::format("  {:>9.3f} {:>10.0f} {:>10.2f} {:>9.2f} {:>9.2f}  {}\n", setting.seconds,
                        tokens / setting.seconds, gib(memory.device_total()),
                        gib(memory.host_total()), gib(memory.on_disk), setting_name(setting.asked));
  }
  for (const auto& setting : settings.too_large) {
    const auto& memory = setting.chosen.memory;
    const double host = gib(setting.chosen.host_of_machine(target));
    const double room = kUsableShare * gib(target.device_memory);
    text +=
        fmt::format("  does not fit: {} needs {:.1f} GiB of device{}", setting_name(setting.asked),
                    gib(memory.device_total()), excess(gib(memory.device_total()), room));
    if (host > 0) {
      text +=
          fmt::format(", {:.1f} GiB of host memory{}", host, excess(host, gib(target.host_memory)));
    }
    if (memory.on_disk.value > 0) {
      text += fmt::format(", {:.1f} GiB of disk", gib(memory.on_disk * target.local_world));
    }
    text += '\n';
  }
  return text;
}

}  // namespace zt::plan
