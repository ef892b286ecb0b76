#include "plan/offload_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "plan/step_estimate.h"

namespace zt::plan {
namespace {

using schedule::OpKind;

/// Share of the compute that is worth a warning.
constexpr double kMuch = 0.1;

MachineRates machine_rates(const zero::HostRates& rates, double layers) {
  return {.product = rates.product * layers,
          .host = {.download = rates.download,
                   .upload = rates.upload,
                   .optimizer = rates.optimizer,
                   .disk_read = rates.disk_read,
                   .disk_write = rates.disk_write}};
}

/// What each kind of work takes alone.
void add_alone(const Candidate& candidate, const schedule::Program& program,
               const OffloadRates& rates, OffloadTime& time) {
  using schedule::Stream;
  for (const auto& variant : program.variants) {
    const auto times =
        static_cast<double>(runs_per_step(variant.kind, candidate.options.micro_steps));
    for (const auto& op : variant.operations) {
      const double seconds = times * offload_seconds(program, op, rates);
      if (op.stream == Stream::download) time.download += seconds;
      if (op.stream == Stream::upload) {
        (op.kind == OpKind::upload ? time.upload : time.fetch) += seconds;
      }
      if (op.stream == Stream::host) time.optimizer += seconds;
      if (op.stream == Stream::disk_read) time.disk_read += seconds;
      if (op.stream == Stream::disk_write) time.disk_write += seconds;
    }
  }
}

constexpr std::string_view kPageable = "pageable";

/// Ranks on the CPU, which have no driver, copy from and to ordinary memory.
std::string_view kind_of_host_memory(const Candidate& candidate) {
  if (candidate.memory.context.value == 0) return "ordinary";
  return candidate.options.zero.pin_memory ? "page-locked" : kPageable;
}

std::string rate_text(double rate) { return fmt::format("{:.1f} GB/s", rate / 1e9); }
double ms(double seconds) { return 1e3 * seconds; }

/// Lines of the kinds of memory.
std::string lines(const Candidate& candidate, const zero::HostRates& rates,
                  const OffloadTime& time) {
  const auto& memory = candidate.memory;
  auto text =
      fmt::format("offload: device {}, products {:.2f} TFLOP/s, compute {:.0f} ms per step",
                  format_bytes(memory.device_total()), rates.product / 1e12, ms(time.compute));
  text += fmt::format(
      "\noffload: host {} {}, {} down, {} up; per step down {:.0f} ms, up {:.0f} ms, fetched "
      "{:.0f} "
      "ms, exposed {:.0f} ms",
      format_bytes(memory.host_total()), kind_of_host_memory(candidate), rate_text(rates.download),
      rate_text(rates.upload), ms(time.download), ms(time.upload), ms(time.fetch),
      ms(time.exposed_copies));
  if (rates.optimizer > 0) {
    text += fmt::format(
        "\noffload: AdamW {} on {} thread{} of {} of {} NUMA node{}, {}; per step {:.0f} ms, "
        "exposed {:.0f} ms",
        rate_text(rates.optimizer), rates.threads, rates.threads == 1 ? "" : "s", rates.nodes,
        rates.machine_nodes, rates.machine_nodes == 1 ? "" : "s", rates.simd, ms(time.optimizer),
        ms(time.exposed_optimizer));
  }
  if (memory.on_disk.value > 0) {
    text += fmt::format(
        "\noffload: disk {}, {} read, {} written ({}{}); {} moved per step, read {:.0f} ms, "
        "written "
        "{:.0f} ms, exposed {:.0f} ms",
        format_bytes(memory.on_disk), rate_text(rates.disk_read), rate_text(rates.disk_write),
        rates.disk_engine, rates.disk_direct ? ", direct" : ", through the page cache",
        format_bytes(candidate.costs.disk_link), ms(time.disk_read), ms(time.disk_write),
        ms(time.exposed_disk));
  }
  return text + fmt::format(
                    "\noffload: predicted {:.0f} ms per step, {:.0f} ms of it exposed ({:.0f} "
                    "% of compute)",
                    ms(time.step), ms(time.exposed),
                    time.compute > 0 ? 100 * time.exposed / time.compute : 0.0);
}

/// What costs more than a tenth, and why it may.
std::string warnings(const Candidate& candidate, const zero::HostRates& rates,
                     const OffloadTime& time) {
  constexpr double kSlowDisk = 1e9;  // bytes/s: below one NVMe disk
  std::string text;
  const auto warn = [&](double seconds, const std::string& what) {
    text +=
        fmt::format("\noffload: warning: {} costs about {:.0f} ms of each step", what, ms(seconds));
  };
  const auto much = [&](double seconds) { return seconds >= kMuch * time.compute; };
  if (much(time.exposed_copies)) {
    const bool pageable = kind_of_host_memory(candidate) == kPageable;
    warn(time.exposed_copies,
         !pageable ? "copying between GPU and host (larger micro-batches, or retain)"
                   : "copying from and to pageable host memory (\"pin_memory\": false)");
  }
  if (much(time.exposed_optimizer)) {
    warn(time.exposed_optimizer,
         "AdamW on the host beyond the first forward pass (a smaller ratio, more cores or larger "
         "micro-batches)");
    for (const auto& cause : rates.causes) text += "\noffload: warning: AdamW: " + cause;
  }
  if (much(time.exposed_disk)) {
    warn(time.exposed_disk,
         "the disk under nvme_path (host memory, a smaller ratio, or a faster one)");
    if (!rates.disk_direct) {
      text += "\noffload: warning: disk: its file system has no direct I/O";
    }
    if (std::min(rates.disk_read, rates.disk_write) < kSlowDisk) {
      text += "\noffload: warning: disk: slower than one NVMe disk";
    }
  }
  return text;
}

}  // namespace

OffloadTime predict_offload(const Candidate& candidate, const schedule::Program& program,
                            const zero::HostRates& rates, double layers) {
  const auto all = machine_rates(rates, layers);
  const auto walk = [&](const MachineRates& machine) {
    return estimate_step(candidate, program, 1, machine);
  };
  const auto without = [&](auto free) {
    auto machine = all;
    free(machine.host);
    return walk(machine).length;
  };
  const auto step = walk(all);
  OffloadTime time{.step = step.length, .compute = step.compute, .exposed = step.exposed()};
  add_alone(candidate, program, all.host, time);
  time.exposed_copies =
      step.length - without([](OffloadRates& host) { host.download = host.upload = 0; });
  time.exposed_optimizer = step.length - without([](OffloadRates& host) { host.optimizer = 0; });
  time.exposed_disk =
      step.length - without([](OffloadRates& host) { host.disk_read = host.disk_write = 0; });
  return time;
}

std::string offload_report(const Candidate& candidate, const schedule::Program& program,
                           const zero::HostRates& rates, double layers) {
  if (rates.download == 0) return {};
  const auto time = predict_offload(candidate, program, rates, layers);
  auto text = lines(candidate, rates, time);
  return time.compute > 0 ? text + warnings(candidate, rates, time) : text;
}

}  // namespace zt::plan
