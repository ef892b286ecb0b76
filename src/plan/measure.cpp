#include "plan/measure.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/device_costs.h"

namespace zt::plan {
namespace {

using schedule::Program;

Bytes sent_by(const Program& program, const schedule::Operation& op, int world) {
  using schedule::OpKind;
  if (!is_collective(op.kind) || op.kind == OpKind::clip) return {};
  if (op.kind != OpKind::reduce) {
    return {program.buffer(op.writes.front()).bytes().value / world * (world - 1)};
  }
  const auto& last = program.buffer(op.writes.back());
  if (last.kind != schedule::BufferKind::wire) return {};
  return {storage(op.numel, last.dtype).value / world * (world - 1)};
}

void print_arena(std::string& text, const char* name, const schedule::ArenaPeak& arena) {
  constexpr std::size_t kItems = 12;
  if (arena.arena.value == 0) return;
  text +=
      fmt::format("{} arena {} (peak at {} operation {}, {})\n", name, format_bytes(arena.arena),
                  to_string(arena.variant), arena.operation, arena.operation_text);
  for (std::size_t k = 0; k < arena.kinds.size(); ++k) {
    if (arena.kinds[k].value == 0) continue;
    text += fmt::format("  {:16} {:>12}\n", to_string(static_cast<schedule::BufferKind>(k)),
                        format_bytes(arena.kinds[k]));
  }
  text += fmt::format("  {:16} {:>12}\n", "gaps", format_bytes(arena.unused));
  text += "  largest:";
  for (std::size_t i = 0; i < std::min(kItems, arena.items.size()); ++i) {
    const auto& item = arena.items[i];
    text += fmt::format("{} {}[{}] {}", i == 0 ? "" : ",", to_string(item.kind), item.index,
                        format_bytes(item.bytes));
  }
  text += '\n';
}

}  // namespace

MemoryReport measure(const Program& program, const schedule::ModelInfo& model, Device device,
                     int world) {
  MemoryReport report;
  report.device = arena_peak(program, Place::device);
  report.host = arena_peak(program, Place::host);
  for (const auto& layer : model.layers) {
    auto library = layer.library;
    if (layer.evaluation) library = std::max(library, layer.evaluation->library);
    if (library <= report.library) continue;
    report.library = library;
    report.library_layer = layer.name;
  }
  const auto costs = device_costs(device, world);
  report.on_disk = program.on_disk;
  report.context = costs.context;
  report.communicator = costs.communicator;
  return report;
}

std::int64_t runs_per_step(schedule::VariantKind kind, int micro_steps) {
  if (kind == schedule::VariantKind::evaluation || kind == schedule::VariantKind::settle) return 0;
  return kind == schedule::VariantKind::middle ? std::max(0, micro_steps - 2) : 1;
}

Bytes host_link_bytes(const Program& program, const schedule::Operation& op) {
  using schedule::OpKind;
  switch (op.kind) {
    case OpKind::fetch:
    case OpKind::fetch_grad:
    case OpKind::download:
    case OpKind::stash_out:
    case OpKind::stash_in:
      return program.buffer(op.writes.front()).bytes();
    case OpKind::store:
    case OpKind::upload:
      return program.buffer(op.reads.front()).bytes();
    default:
      return {};
  }
}

Bytes disk_link_bytes(const Program& program, const schedule::Operation& op) {
  using schedule::Stream;
  if (op.stream != Stream::disk_read && op.stream != Stream::disk_write) return {};
  Bytes total;
  for (const auto id : op.reads) total += program.buffer(id).bytes();
  return total;
}

Bytes optimizer_bytes(const Program& program, const schedule::Operation& op) {
  if (op.stream != schedule::Stream::host || op.kind != schedule::OpKind::step) return {};
  // reads: the gradient, scalars; writes: both moments, the master, and the copy if there is one.
  constexpr std::int64_t kStates = 2 * 3 * 4;  // read and written in fp32
  constexpr std::size_t kWithoutCopy = 3;
  const auto grad = size_of(program.buffer(op.reads.front()).dtype).value;
  const auto copy =
      op.writes.size() > kWithoutCopy ? size_of(program.buffer(op.writes.back()).dtype).value : 0;
  return {program.buffer(op.writes.front()).numel.value * (kStates + grad + copy)};
}

double operation_flops(const schedule::Operation& op, const std::vector<double>& forward_flops) {
  using schedule::OpKind;
  if (op.layer < 0 || op.stream != schedule::Stream::compute) return 0;
  const auto layer = static_cast<std::size_t>(op.layer);
  const double forward = forward_flops.at(layer);
  if (op.kind != OpKind::backward) return forward;
  return forward * (layer + 1 == forward_flops.size() ? 3 : 2);
}

std::vector<double> forward_flops_of(const schedule::ModelInfo& model) {
  std::vector<double> flops;
  for (const auto& layer : model.layers) flops.push_back(layer.forward_flops);
  return flops;
}

StepCosts step_costs(const Program& program, const schedule::ModelInfo& model, int world,
                     int micro_steps) {
  StepCosts total;
  const auto flops = forward_flops_of(model);
  for (const auto& variant : program.variants) {
    const auto times = runs_per_step(variant.kind, micro_steps);
    for (const auto& op : variant.operations) {
      total.sent += sent_by(program, op, world) * times;
      total.host_link += host_link_bytes(program, op) * times;
      total.disk_link += disk_link_bytes(program, op) * times;
      total.flops += operation_flops(op, flops) * static_cast<double>(times);
    }
  }
  return total;
}

std::string print(const MemoryReport& report) {
  auto text = fmt::format("device {}: arena {}, library {} ({}), context {}, communicator {}\n",
                          format_bytes(report.device_total()), format_bytes(report.device.arena),
                          format_bytes(report.library),
                          report.library_layer.empty() ? "none" : report.library_layer,
                          format_bytes(report.context), format_bytes(report.communicator));
  print_arena(text, "device", report.device);
  print_arena(text, "host", report.host);
  if (report.on_disk.value > 0) text += fmt::format("disk {}\n", format_bytes(report.on_disk));
  return text;
}

}  // namespace zt::plan
