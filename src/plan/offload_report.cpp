#include "plan/offload_report.h"

#include <fmt/format.h>

#include <algorithm>

namespace zt::plan {
namespace {

using schedule::OpKind;
using schedule::VariantKind;

double as_double(Bytes bytes) { return static_cast<double>(bytes.value); }

/// Bytes that operations of a kind move in one run of a variant: what they write.
double moved(const schedule::Program& program, VariantKind variant, OpKind kind) {
  double bytes = 0;
  for (const auto& op : program.variant(variant).operations) {
    if (op.kind != kind) continue;
    const auto& from = program.buffer(op.reads.front());
    const auto& to = program.buffer(op.writes.front());
    bytes += as_double(std::min(from.bytes(), to.bytes()));
  }
  return bytes;
}

/// Bytes that the host's AdamW reads and writes in a step.
double optimizer_bytes(const schedule::Program& program) {
  double bytes = 0;
  for (const auto& unit : program.units) {
    const auto& part = unit.parts.back();
    if (part.where == Place::device) continue;
    const auto& grad = program.buffer(part.grad.buffer);
    const auto& param = program.buffer(part.param.buffer);
    const bool copy = part.param.buffer != part.master.buffer;
    const auto per_element =
        24 + size_of(grad.dtype).value + (copy ? size_of(param.dtype).value : 0);
    bytes += static_cast<double>(part.numel.value * per_element);
  }
  return bytes;
}

double over(double bytes, double rate) { return rate > 0 ? bytes / rate : 0; }

std::string rate_text(double rate) { return fmt::format("{:.1f} GB/s", rate / 1e9); }

}  // namespace

OffloadTime predict_offload(const Candidate& candidate, const schedule::Program& program,
                            const zero::HostRates& rates) {
  constexpr double kShareOfProducts =
      0.8;  // attention, elementwise kernels and launches beside them
  const int micro_steps = candidate.options.micro_steps;
  const bool one = micro_steps == 1;
  const auto last = one ? VariantKind::only : VariantKind::last;
  const auto first = one ? VariantKind::only : VariantKind::first;
  OffloadTime time;
  time.compute = over(candidate.costs.flops, rates.product * kShareOfProducts);
  time.download = over(moved(program, last, OpKind::download), rates.download);
  time.optimizer = over(optimizer_bytes(program), rates.optimizer);
  time.upload = over(moved(program, VariantKind::boundary, OpKind::upload), rates.upload);
  for (const auto kind : {OpKind::fetch, OpKind::fetch_grad}) {
    double bytes = moved(program, first, kind);
    if (!one) bytes += moved(program, last, kind);
    bytes += moved(program, VariantKind::middle, kind) * std::max(0, micro_steps - 2);
    time.fetch += over(bytes, rates.upload);
  }
  const bool recomputes = candidate.options.zero.recompute == Recompute::full;
  const double forward = time.compute / micro_steps / (recomputes ? 4 : 3);
  const double backward = time.compute / micro_steps - forward;
  time.exposed = std::max(0.0, std::max(time.optimizer, time.upload) - forward) +
                 std::max(0.0, time.download - backward) + std::max(0.0, time.fetch - time.compute);
  return time;
}

std::string offload_report(const Candidate& candidate, const schedule::Program& program,
                           const zero::HostRates& rates) {
  if (rates.download == 0) return {};
  const auto time = predict_offload(candidate, program, rates);
  const bool pinned = candidate.options.zero.pin_memory;
  auto text = fmt::format(
      "offload: device {}, products {:.0f} TFLOP/s, compute {:.0f} ms per step\n",
      format_bytes(candidate.memory.device_total()), rates.product / 1e12, 1e3 * time.compute);
  text += fmt::format(
      "offload: host {} {}, {} down, {} up, AdamW {} on {} threads of {} NUMA nodes; down {:.0f} "
      "ms, "
      "AdamW {:.0f} ms, up {:.0f} ms, fetched {:.0f} ms, exposed {:.0f} ms ({:.0f} %)",
      format_bytes(candidate.memory.host_total()), pinned ? "page-locked" : "pageable",
      rate_text(rates.download), rate_text(rates.upload), rate_text(rates.optimizer), rates.threads,
      rates.nodes, 1e3 * time.download, 1e3 * time.optimizer, 1e3 * time.upload, 1e3 * time.fetch,
      1e3 * time.exposed, time.compute > 0 ? 100 * time.exposed / time.compute : 0.0);
  if (candidate.memory.on_disk.value > 0) {
    text +=
        fmt::format("\noffload: disk {}, {} moved per step", format_bytes(candidate.memory.on_disk),
                    format_bytes(candidate.costs.disk_link));
  }
  constexpr double kMuch = 0.1;
  const auto warn = [&](bool is, double seconds, const char* what) {
    if (!is || seconds < kMuch * time.compute) return;
    text += fmt::format("\noffload: warning: {} costs about {:.0f} ms of each step", what,
                        1e3 * seconds);
  };
  warn(!pinned, time.download + time.upload, "pageable host memory (\"pin_memory\": false)");
  const double forward = time.compute / candidate.options.micro_steps / 4;
  warn(true, time.optimizer - forward,
       "AdamW on the host beyond the first forward pass (a smaller ratio, more cores or larger "
       "micro-batches)");
  warn(true, time.fetch - time.compute, "fetching parameters (larger micro-batches, or retain)");
  return text;
}

}  // namespace zt::plan
