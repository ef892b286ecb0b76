#include "plan/render.h"

#include <fmt/format.h>

#include "base/policy_names.h"

namespace zt::plan {
namespace {

double gib(Bytes bytes) { return static_cast<double>(bytes.value) / (1024. * 1024. * 1024.); }

/// With what of the states leaves the device, and with disks.
std::string offload_text(const config::ZeroConfig& zero) {
  std::string text = offload_name(zero);
  if (zero.offload_ratio < 1) text += fmt::format(" {:.2f}", zero.offload_ratio);
  if (zero.optimizer_place == Place::nvme || zero.param_place == Place::nvme) text += " nvme";
  return text;
}

}  // namespace

std::string render(const std::vector<Candidate>& rows, const Target& target,
                   std::optional<std::size_t> best) {
  auto text =
      fmt::format("  {:<5} {:<16} {:<9} {:>10} {:>9} {:>10} {:>10}  {}\n", "stage", "offload",
                  "recompute", "device GiB", "host GiB", "sent GB", "host GB", "fits");
  const bool memory_known = target.device_memory.value > 0 || target.device == Device::cpu;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    const auto& zero = row.options.zero;
    text += fmt::format("{} {:<5} {:<16} {:<9} {:>10.2f} {:>9.2f} {:>10.2f} {:>10.2f}  {}\n",
                        best == i ? '*' : ' ', zero.stage, offload_text(zero),
                        to_string(zero.recompute.value_or(Recompute::none)),
                        gib(row.memory.device_total()), gib(row.memory.host_total()),
                        static_cast<double>(row.costs.sent.value) / 1e9,
                        static_cast<double>(row.costs.host_link.value) / 1e9,
                        !fits(row, target, kUsableShare) ? "no"
                        : memory_known                   ? "yes"
                                                         : "?");
  }
  return text;
}

std::string describe_choices(const zero::EngineOptions& options) {
  const auto& zero = options.zero;
  auto text =
      fmt::format("recompute {}, coalesce {}, reduce at {}, retain {}",
                  to_string(zero.recompute.value_or(Recompute::none)),
                  zero.coalesce <= 1 ? "off" : std::to_string(zero.coalesce),
                  zero.reduce_at == ReduceAt::micro_step ? "each micro-step" : "the boundary",
                  zero.retain_auto ? "on" : "off");
  if (zero.reduce_beside.value_or(true) && zero.overlap_comm) {
    text += ", reductions beside the next backward";
  }
  if (zero.optimizer_place != Place::device && zero.reduce_at == ReduceAt::micro_step) {
    text += fmt::format(", gradients wait on the {}",
                        zero.grad_place == Place::device ? "device" : "host");
  }
  return text;
}

}  // namespace zt::plan
