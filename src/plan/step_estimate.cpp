#include "plan/step_estimate.h"

#include <algorithm>

#include "plan/roofline.h"
#include "zero/residency.h"

namespace zt::plan {
namespace {

using schedule::OpKind;

double over(double amount, double rate) { return rate > 0 ? amount / rate : 0; }
double as_double(Bytes bytes) { return static_cast<double>(bytes.value); }

/// What a rank sends: all of a buffer but its own part.
double sent(const schedule::Program& program, schedule::BufferId id, int world) {
  return as_double(program.buffer(id).bytes()) * (world - 1) / world;
}

/// Operations of compute and communication beside the layers.
double device_seconds(const schedule::Program& program, const schedule::Operation& op, int world,
                      const MachineRates& rates) {
  const auto moved = [&] {
    double bytes = 0;
    for (const auto* list : {&op.reads, &op.writes}) {
      for (const auto id : *list) bytes += as_double(program.buffer(id).bytes());
    }
    return over(bytes, rates.device_memory);
  };
  switch (op.kind) {
    case OpKind::gather:
    case OpKind::gather_grad:
    case OpKind::publish:
      return over(sent(program, op.writes.front(), world), rates.link);
    case OpKind::reduce: {
      if (world == 1) return moved();
      const auto wire = storage(op.numel, program.buffer(op.writes.back()).dtype);
      return over(as_double(wire) * (world - 1) / world, rates.link);
    }
    case OpKind::norm:
      return over(as_double(program.buffer(op.reads.front()).bytes()), rates.device_memory);
    case OpKind::step:
      return 2 * moved();  // states are read and written
    default:
      return 0;
  }
}

}  // namespace

double offload_seconds(const schedule::Program& program, const schedule::Operation& op,
                       const OffloadRates& rates) {
  using schedule::Stream;
  const double link = as_double(host_link_bytes(program, op));
  const double disk = as_double(disk_link_bytes(program, op));
  switch (op.stream) {
    case Stream::compute:
    case Stream::comm:
      return 0;
    case Stream::host:
      return over(as_double(optimizer_bytes(program, op)), rates.optimizer);
    case Stream::download:
      return over(link, rates.download);
    case Stream::upload:
      return over(link, rates.upload);
    case Stream::disk_read:
      return over(disk, rates.disk_read);
    case Stream::disk_write:
      return over(disk, rates.disk_write);
  }
  return 0;
}

double operation_seconds(const Candidate& candidate, const schedule::Program& program,
                         const schedule::Operation& op, int world, const MachineRates& rates) {
  if (schedule::runs_on(op.stream)) return offload_seconds(program, op, rates.host);
  const double flops = operation_flops(op, candidate.forward_flops);
  return flops > 0 ? over(flops, rates.product) : device_seconds(program, op, world, rates);
}

StepLength estimate_step(const Candidate& candidate, const schedule::Program& program, int world,
                         const MachineRates& rates) {
  return walk_step(program, candidate.options.micro_steps,
                   [&](const schedule::Operation& op) {
                     return operation_seconds(candidate, program, op, world, rates);
                   },
                   {});
}

MachineRates sheet_rates(const DeviceLimits& device, const Candidate& candidate,
                         const model::Model* model, int local_world) {
  constexpr double kPlainShare = 0.5;  // of the peak, where nothing is known of the layers
  constexpr double kMemory = 0.75, kLink = 0.6;  // shares that are reached, as in the roofline
  const bool wide = candidate.options.precision.compute == DType::f32;
  const double peak = wide ? device.scalar_rate : device.matrix_rate;
  MachineRates rates;
  rates.product = kPlainShare * peak;
  if (model != nullptr) {
    const double layers = layer_seconds(*model, candidate.options, device);
    if (layers > 0) rates.product = candidate.costs.flops / layers;
  }
  rates.device_memory = kMemory * device.memory_rate;
  rates.link = kLink * device.link_rate;
  rates.host = sheet_host(device, local_world);
  return rates;
}

OffloadRates known_or(OffloadRates rates, const OffloadRates& others) {
  const auto fill = [](double& rate, double other) {
    if (rate <= 0) rate = other;
  };
  fill(rates.download, others.download);
  fill(rates.upload, others.upload);
  fill(rates.optimizer, others.optimizer);
  fill(rates.disk_read, others.disk_read);
  fill(rates.disk_write, others.disk_write);
  return rates;
}

double target_seconds(const Planner& planner, const Candidate& candidate) {
  const auto& target = planner.target();
  auto rates = sheet_rates(*target.sheet, candidate, nullptr, target.local_world);
  rates.host = known_or(target.measured, rates.host);
  return estimate_step(candidate, planner.program(candidate.options), target.world, rates).length;
}

OffloadRates sheet_host(const DeviceLimits& device, int local_world) {
  return {.download = device.host_link,
          .upload = device.host_link,
          .optimizer = device.host_memory / local_world,
          .disk_read = device.disk_read / local_world,
          .disk_write = device.disk_write / local_world};
}

}  // namespace zt::plan
