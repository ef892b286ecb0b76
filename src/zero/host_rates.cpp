#include "zero/host_rates.h"

#include <ATen/ops/mm.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "kernels/cpu/host_probe.h"
#include "kernels/cpu/simd_target.h"
#include "zero/binding.h"

namespace zt::zero {
namespace {

/// Seconds of one call, the second of two: the first one warms up.
template <typename Call>
double seconds_of(const Launch& launch, Call call) {
  double seconds = 0;
  for (int i = 0; i < 2; ++i) {
    memory::synchronize(launch);
    const auto begin = std::chrono::steady_clock::now();
    call();
    memory::synchronize(launch);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return seconds;
}

void measure_copies(const Machine& machine, const Launch& launch, HostRates& rates) {
  constexpr std::int64_t kBytes = 256 << 20;
  const auto size =
      std::min({kBytes, machine.device_arena->size().value, machine.host_arena->size().value});
  if (size == 0) return;
  const View device{machine.device_arena->at({0}), size, DType::u8};
  const View host{machine.host_arena->at({0}), size, DType::u8};
  const auto bytes = static_cast<double>(size);
  rates.download = bytes / seconds_of(launch, [&] { memory::copy(device, host, launch); });
  rates.upload = bytes / seconds_of(launch, [&] { memory::copy(host, device, launch); });
}

void describe_threads(const Machine& machine, HostRates& rates) {
  rates.simd = kernels::cpu::to_string(kernels::cpu::simd_target());
  if (!machine.pool) return;
  const auto& share = machine.pool->share();
  rates.threads = machine.pool->num_threads();
  rates.nodes = static_cast<int>(share.nodes.size());
  rates.machine_nodes = share.machine_nodes;
  rates.causes = kernels::cpu::host_verdicts(*machine.pool);
  if (rates.nodes < rates.machine_nodes && machine.local_world < rates.machine_nodes) {
    rates.causes.push_back("its threads are on " + std::to_string(rates.nodes) + " of " +
                           std::to_string(rates.machine_nodes) + " NUMA nodes");
  }
}

/// AdamW of the largest part that the host updates, with a learning rate of 0.
void measure_optimizer(const Machine& machine, const Launch& launch, HostRates& rates) {
  const schedule::StatePart* largest = nullptr;
  for (const auto& unit : machine.program->units) {
    const auto& part = unit.parts.back();
    if (part.where == Place::device) continue;
    if (largest == nullptr || largest->numel < part.numel) largest = &part;
  }
  if (largest == nullptr) return;
  const kernels::AdamWSpans spans{
      machine.view(largest->master, *largest), machine.view(largest->exp_avg, *largest),
      machine.view(largest->exp_avg_sq, *largest), machine.view(largest->grad, *largest),
      machine.view(largest->param, *largest)};
  float factor = 1;
  const View factor_view{&factor, 1, DType::f32};
  const Launch host{Device::cpu, nullptr, machine.pool.get()};
  const double seconds =
      seconds_of(launch, [&] { kernels::adamw(spans, kernels::AdamWParams{}, factor_view, host); });
  const bool copy = spans.param.data != spans.master.data;
  const auto bytes =
      spans.master.bytes() * 6 + spans.grad.bytes() + (copy ? spans.param.bytes() : Bytes{});
  rates.optimizer = static_cast<double>(bytes.value) / seconds;
  describe_threads(machine, rates);
}

/// States of units out and in again, until enough has moved.
void measure_disk(const Machine& machine, HostRates& rates) {
  constexpr std::int64_t kMost = 256 << 20;
  if (!machine.disk) return;
  std::vector<std::vector<Disk::Transfer>> units;
  std::int64_t bytes = 0;
  for (const auto& op : machine.program->variant(schedule::VariantKind::boundary).operations) {
    if (op.stream != schedule::Stream::disk_write || op.writes.empty() || bytes >= kMost) continue;
    auto& unit = units.emplace_back();
    for (std::size_t i = 0; i < op.writes.size(); ++i) {
      unit.push_back({op.writes[i], machine.view(op.reads.at(i))});
      bytes += unit.back().host.bytes().value;
    }
  }
  const auto rate = [&](auto move) {
    const auto begin = std::chrono::steady_clock::now();
    for (const auto& unit : units) move(unit);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(bytes) / taken.count();
  };
  rates.disk_write = rate([&](const auto& unit) { machine.disk->write(unit); });
  rates.disk_read = rate([&](const auto& unit) { machine.disk->read(unit); });
  const auto stats = machine.disk->stats();
  rates.disk_engine = stats.engine;
  rates.disk_direct = stats.direct;
}

void measure_product(const Machine& machine, memory::Queues& queues, HostRates& rates) {
  const auto dtype = machine.options->precision.compute;
  const auto arena = machine.device_arena->size();
  std::int64_t size = machine.device == Device::cuda ? 4096 : 256;
  while (size > 32 && arena < storage({3 * size * size}, dtype)) size /= 2;
  const auto bytes = storage({size * size}, dtype);
  if (arena < bytes * 3) return;
  const auto matrix = [&](std::int64_t i) {
    return machine.tensor(machine.device_arena->at(bytes * i), {size, size}, dtype);
  };
  const std::array matrices{matrix(0), matrix(1), matrix(2)};
  auto out = matrices[2];
  constexpr int kTimes = 10;
  const memory::Queues::Work work = [&](const Launch& /*launch*/) {
    for (int i = 0; i < kTimes; ++i) at::mm_out(out, matrices[0], matrices[1]);
  };
  const double seconds = seconds_of(queues.compute(), [&] {
    queues.begin(1);
    queues.submit(0, 0, {}, false, work);
  });
  const auto width = static_cast<double>(size);
  rates.product = kTimes * 2.0 * width * width * width / seconds;
}

}  // namespace

HostRates measure_host(const Machine& machine, memory::Queues& queues) {
  HostRates rates;
  if (machine.program->host_arena.value == 0) return rates;
  const auto launch = queues.compute();
  measure_copies(machine, launch, rates);
  measure_optimizer(machine, launch, rates);
  measure_disk(machine, rates);
  measure_product(machine, queues, rates);
  return rates;
}

}  // namespace zt::zero
