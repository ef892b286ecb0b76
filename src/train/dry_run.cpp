#include "train/dry_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ostream>

#include "base/policy_names.h"
#include "config/text_values.h"
#include "memory/arena.h"
#include "memory/device_name.h"
#include "plan/choose.h"
#include "plan/device_limits.h"
#include "plan/roofline.h"
#include "plan/table.h"
#include "schedule/check.h"
#include "train/reduced_step.h"
#include "train/run_parts.h"
#include "zero/engine_options.h"

namespace zt::train {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

double gib(Bytes bytes) { return static_cast<double>(bytes.value) / kGiB; }

/// 6922702592 as 6,922,702,592.
std::string grouped(std::int64_t value) {
  auto text = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

/// The device to plan for: named, this machine's, or none.
const plan::DeviceLimits* device_for(const DryRun& request) {
  if (!request.device.empty()) {
    if (const auto* device = plan::find_device(request.device)) return device;
    throw ConfigError(fmt::format("[train.dry_run] --device: got '{}', expected one of {}.",
                                  config::shown(request.device),
                                  fmt::join(plan::device_names(), " ")));
  }
  const auto names = memory::cuda_device_names();
  return names.empty() ? nullptr : plan::device_of_driver_name(names.front());
}

/// Memory of one rank's device: the user's cap, the named device's, this machine's; 0: not known.
Bytes capacity_of(const config::Config& config, const DryRun& request,
                  const plan::DeviceLimits* device) {
  if (config.launch.gpu_memory) return *config.launch.gpu_memory;
  if (!request.device.empty() && device != nullptr) return device->memory;
  if (memory::num_cuda_devices() > 0) return memory::device_capacity(Device::cuda);
  return device == nullptr ? Bytes{} : device->memory;
}

void show_model(const config::Config& config, const model::Model& model, int world,
                std::ostream& out) {
  const auto& run = config.run;
  const auto sequences = run.per_device_train_batch_size * run.gradient_accumulation_steps * world;
  out << fmt::format("model       {} ({}): {} parameters, {} layers of width {}, vocabulary {}\n",
                     config.model.model_name_or_path, model.architecture(),
                     grouped(model.num_params()), model.layers(), model.hidden(), model.vocab());
  out << fmt::format("batch       {} ranks x {} x {} = {} sequences of {} = {} tokens per step\n",
                     world, run.per_device_train_batch_size, run.gradient_accumulation_steps,
                     sequences, config.data.block_size,
                     grouped(sequences * config.data.block_size));
}

void show_schedule(const schedule::Program& program, const zero::EngineOptions& options,
                   std::ostream& out) {
  std::size_t operations = 0, collectives = 0, variants = 0;
  for (const auto& variant : program.variants) {
    variants += variant.operations.empty() ? 0 : 1;
    operations += variant.operations.size();
    for (const auto& op : variant.operations) collectives += is_collective(op.kind) ? 1 : 0;
  }
  const auto problems = schedule::check(program, options.micro_steps);
  ZT_ASSERT(problems.empty(), problems.front());
  out << fmt::format(
      "schedule    {} operations, {} of them collectives, in {} lists; proven, the same on every "
      "rank\n",
      operations, collectives, variants);
}

void show_memory(const plan::Candidate& chosen, const plan::Target& target, std::ostream& out) {
  const auto& memory = chosen.memory;
  out << fmt::format("memory      {:.2f} GiB per GPU", gib(memory.device_total()));
  if (target.device_memory.value > 0) {
    out << fmt::format(" of {:.2f} GiB: {}", gib(target.device_memory),
                       plan::fits(chosen, target, 1.0) ? "fits" : "DOES NOT FIT");
  }
  out << fmt::format("; most at '{}'\n", memory.device.operation_text);
  const auto item = [&](const char* name, Bytes bytes) {
    if (bytes.value > 0)
      out << fmt::format("              {:<18}{:>10.2f} GiB\n", name, gib(bytes));
  };
  for (std::size_t k = 0; k < memory.device.kinds.size(); ++k) {
    item(to_string(static_cast<schedule::BufferKind>(k)), memory.device.kinds[k]);
  }
  item("gaps", memory.device.unused);
  item("library", memory.library);
  item("driver context", memory.context);
  item("communicator", memory.communicator);
  if (memory.host_total().value > 0) {
    out << fmt::format("host memory {:.2f} GiB per rank\n", gib(memory.host_total()));
  }
}

void show_time(const config::Config& config, const model::Model& model,
               const plan::Candidate& chosen, int world, const plan::DeviceLimits& device,
               std::ostream& out) {
  const auto time = plan::predict_roofline(model, chosen, world, device);
  const double seconds = time.total();
  const auto& options = chosen.options;
  const double tokens = static_cast<double>(options.shape.tokens() * options.micro_steps * world);
  out << fmt::format(
      "time on {}: {:.2f} s per step ({:.3f} steps/s), {:.0f} tokens/s; from data-sheet rates, "
      "good to tens of percent\n"
      "              products {:.2f} s, scan {:.2f} s, memory {:.2f} s, communication not hidden "
      "{:.2f} s, host optimizer {:.2f} s\n",
      device.name, seconds, 1 / seconds, tokens / seconds, time.products, time.scan, time.memory,
      time.exposed, time.host);
  const auto steps = config.run.max_steps;
  constexpr double kDay = 86400;
  if (steps > 0) {
    out << fmt::format("              {:.1f} days for --max_steps {}\n",
                       static_cast<double>(steps) * seconds / kDay, grouped(steps));
  }
}

model::Model model_of(const config::Config& config) {
  const auto& name = config.model.model_name_or_path;
  return model::find_model(
      name, "[train.dry_run] --model_name_or_path: got '" + config::shown(name) + "'");
}

}  // namespace

std::int64_t hidden_size_of(const config::Config& config) { return model_of(config).hidden(); }

void dry_run(const config::Config& config, const DryRun& request, std::ostream& out) {
  const auto model = model_of(config);
  require_length(model, config.data.block_size);
  const auto* named = device_for(request);  // a wrong name is refused for CPU ranks too
  const auto* device = config.launch.use_cpu ? nullptr : named;
  const plan::Target target{
      .device = config.launch.use_cpu ? Device::cpu : Device::cuda,
      .world = request.world,
      .device_memory = config.launch.use_cpu ? Bytes{} : capacity_of(config, request, device),
      .host_memory = config.launch.host_memory.value_or(Bytes{}),
      .local_world = request.world,
      .sheet = device,
      .measured = {}};
  const auto parts = model.make();
  const plan::Planner planner(parts, target);
  const auto chosen = plan::choose(planner, zero::engine_options(config));
  out << fmt::format("dry run on {} x {}; nothing is started or written\n", request.world,
                     config.launch.use_cpu ? "CPU"
                     : device == nullptr   ? "GPU"
                                           : device->name);
  show_model(config, model, request.world, out);
  const auto& zero = chosen.options.zero;
  out << fmt::format("settings    ZeRO stage {}, offload {}, {}, recompute {}, coalesce {}\n",
                     zero.stage, plan::offload_name(zero),
                     to_string(chosen.options.precision.compute),
                     to_string(zero.recompute.value_or(Recompute::none)),
                     chosen.options.shape.batch / config.run.per_device_train_batch_size);
  show_schedule(planner.program(chosen.options), chosen.options, out);
  show_memory(chosen, target, out);
  out << fmt::format("sent        {:.2f} GB per GPU and step\n",
                     static_cast<double>(chosen.costs.sent.value) / 1e9);
  if (device != nullptr) {
    show_time(config, model, chosen, request.world, *device, out);
  } else {
    out << fmt::format("time        not predicted without a GPU: name one with --device ({})\n",
                       fmt::join(plan::device_names(), ", "));
  }
  out << run_reduced_step(model, chosen.options, request.world) << std::flush;
}

}  // namespace zt::train
