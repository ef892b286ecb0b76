#include <fmt/format.h>

#include <optional>
#include <ostream>

#include "base/policy_names.h"
#include "memory/arena.h"
#include "memory/device_name.h"
#include "model/family.h"
#include "plan/choose.h"
#include "plan/device_limits.h"
#include "plan/table.h"
#include "train/dry_run.h"

namespace zt::train {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr int kRanks = 4;  ///< without --nproc
constexpr const char* kPresets[] = {"1b_mamba", "3b_mamba", "7b_mamba"};

double gib(Bytes bytes) { return static_cast<double>(bytes.value) / kGiB; }

/// What a device by name or number has for a run.
struct Room {
  std::string name;
  Bytes total;
};

std::vector<Room> show_devices(std::optional<Bytes> cap, std::ostream& out) {
  std::vector<Room> rooms;
  if (cap) rooms.push_back({format_bytes(*cap), *cap});
  const auto names = memory::cuda_device_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    memory::set_device(Device::cuda, static_cast<int>(i));
    const auto total = memory::device_capacity(Device::cuda);
    const auto used = memory::device_used(Device::cuda);
    out << fmt::format("GPU {}: {}, {:.1f} GiB, used {:.1f}, free {:.1f}\n", i, names[i],
                       gib(total), gib(used), gib({total.value - used.value}));
    if (rooms.empty()) rooms.push_back({"GPU 0", total});
  }
  if (names.empty()) out << "this machine has no GPU that this build can use\n";
  if (!rooms.empty()) return rooms;
  for (const char* name : {"RTX4090", "A100-40GB", "A100-80GB", "H200"}) {
    rooms.push_back({name, plan::find_device(name)->memory});
  }
  return rooms;
}

/// The least that a stage needs with and without the optimizer on the host; 0: not offered.
Bytes least(const std::vector<plan::Candidate>& rows, int stage, Place optimizer) {
  Bytes best;
  for (const auto& row : rows) {
    const auto& zero = row.options.zero;
    const bool meant = zero.stage == stage && zero.optimizer_place == optimizer &&
                       zero.param_place == Place::device;
    if (!meant) continue;
    const auto bytes = row.memory.device_total();
    if (best.value == 0 || bytes < best) best = bytes;
  }
  return best;
}

void show_preset(const char* name, int ranks, const std::vector<Room>& rooms, std::ostream& out) {
  const auto preset = model::find_model(name, std::string("[train.check_memory] ") + name);
  const auto parts = preset.make();
  const plan::Target target{.device = Device::cuda,
                            .world = ranks,
                            .device_memory = {},
                            .host_memory = {},
                            .local_world = ranks};
  const plan::Planner planner(parts, target);
  zero::EngineOptions options;
  options.precision.compute = DType::bf16;
  options.shape = {1, preset.length_limit().tokens, false};
  options.micro_steps = 8;
  const auto rows = plan::table(planner, options);
  const std::pair<int, Place> ways[] = {{0, Place::device},
                                        {2, Place::device},
                                        {3, Place::device},
                                        {2, Place::host},
                                        {3, Place::host}};
  for (const auto& [stage, optimizer] : ways) {
    const auto need = least(rows, stage, optimizer);
    if (need.value == 0) continue;
    std::string fitting;
    for (const auto& room : rooms) {
      if (static_cast<double>(need.value) <=
          plan::kUsableShare * static_cast<double>(room.total.value)) {
        fitting += " " + room.name;
      }
    }
    out << fmt::format("{:<10} stage {}, optimizer on the {:<6} {:>7.1f} GiB per GPU; fits:{}\n",
                       name, stage, to_string(optimizer), gib(need),
                       fitting.empty() ? " none of them" : fitting);
  }
}

}  // namespace

void check_memory(const config::LaunchConfig& launch, std::ostream& out) {
  const int ranks = launch.nproc > 0 ? launch.nproc : kRanks;
  const auto rooms = show_devices(launch.gpu_memory, out);
  out << fmt::format(
      "presets on {} GPUs, micro-batch 1 x 8, 16 bits, the least that each setting needs; fits: "
      "at most {:.0f} % of the GPU\n",
      ranks, plan::kUsableShare * 100);
  for (const char* name : kPresets) show_preset(name, ranks, rooms, out);
}

}  // namespace zt::train
