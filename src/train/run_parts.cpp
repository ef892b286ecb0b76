#include "train/run_parts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "memory/arena.h"
#include "memory/device_name.h"
#include "memory/host_memory.h"
#include "memory/link_probe.h"
#include "memory/nvme/disk_probe.h"
#include "plan/device_limits.h"
#include "train/memory_report.h"
#include "zero/disk.h"
#include "zero/rank_values.h"
#include "zero/residency.h"

namespace zt::train {

namespace {

/// The same on every rank: the least of all.
void take_least(comm::Communicator& communicator, double& rate) {
  rate = -static_cast<double>(zero::max_over_ranks(communicator, -static_cast<std::int64_t>(rate)));
}

/// What parameters that are fetched during a step come through, measured here. Collective.
plan::OffloadRates measure_fetching(const config::Config& config, const zero::RankContext& rank) {
  plan::OffloadRates rates;
  const auto& zero = config.zero;
  if (zero.param_place == Place::device || !zero.prefetch_auto) return rates;
  const auto link = memory::probe_link(rank.device, rank.device_index, zero.pin_memory);
  rates.download = link.download;
  rates.upload = link.upload;
  if (zero.param_place == Place::nvme) {
    constexpr double kGiga = 1e9;
    const auto disk = memory::probe_disk(zero.param_nvme_path, zero::aio_options(zero));
    rates.disk_read = disk.read_gb_per_s * kGiga;
    rates.disk_write = disk.write_gb_per_s * kGiga;
  }
  for (auto* rate : {&rates.download, &rates.upload, &rates.disk_read, &rates.disk_write}) {
    take_least(*rank.communicator, *rate);
  }
  return rates;
}

}  // namespace

plan::Target plan_target(const config::Config& config, const zero::RankContext& rank,
                         int local_world) {
  auto& communicator = *rank.communicator;
  const auto limit = memory::host_memory_state().limit;
  plan::Target target;
  target.device = rank.device;
  target.world = communicator.world();
  target.local_world = local_world;
  const Bytes all{::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGE_SIZE)};
  const auto host = config.launch.host_memory.value_or(limit.value > 0 ? limit : all);
  target.host_memory = {-zero::max_over_ranks(communicator, -host.value)};
  target.host_is_limit =
      zero::max_over_ranks(communicator, config.launch.host_memory || limit.value > 0 ? 1 : 0) > 0;
  if (rank.device == Device::cuda) {
    const auto capacity = config.launch.gpu_memory.value_or(memory::device_capacity(rank.device));
    target.device_memory = {-zero::max_over_ranks(communicator, -capacity.value)};
    const auto names = memory::cuda_device_names();
    const auto* sheet = names.empty() ? nullptr : plan::device_of_driver_name(names.front());
    target.sheet = sheet != nullptr ? sheet : &plan::device_of_memory(target.device_memory);
    target.measured = measure_fetching(config, rank);
  }
  return target;
}

RunSummary summarise(const config::Config& config, const OpenedModel& model, const RunData& data,
                     const plan::Candidate& planned, const zero::RankContext& rank) {
  RunSummary summary;
  summary.model = config.model.model_name_or_path;
  summary.architecture = model.config.architecture();
  summary.num_params = model.config.num_params();
  summary.num_units = static_cast<int>(model.parts.units.size());
  summary.num_layers = static_cast<int>(model.parts.layers.size());
  summary.world = rank.communicator->world();
  summary.device = rank.device == Device::cuda ? "cuda" : "cpu";
  summary.block_size = data.sets.block_size;
  summary.train_blocks = data.sets.train ? data.sets.train->size() : 0;
  summary.eval_blocks = data.sets.eval ? data.sets.eval->size() : 0;
  summary.coalesce = planned.options.shape.batch / data.batch;
  summary.build = zero::build_options(planned.options, summary.world);
  summary.planned = {planned.memory.device.arena, planned.memory.host.arena,
                     planned.memory.library};
  return summary;
}

double flops_per_token(const OpenedModel& model, std::int64_t sequence) {
  return model.config.train_flops_per_token(sequence);
}

double total_flos_per_token(const zero::Engine& engine) {
  std::int64_t count = 0;
  for (const auto& param : engine.layout().params) {
    if (param.name.find("embed_tokens") == std::string::npos) count += param.numel().value;
  }
  return 6.0 * static_cast<double>(count);
}

std::string compare_memory(const PlannedEngine& planned, const zero::RankContext& rank) {
  const auto& plan = planned.plan.memory;
  const auto& program = planned.engine->program();
  const Bytes arenas = program.device_arena + program.host_arena;
  const Bytes library = plan.library;
  auto& communicator = *rank.communicator;
  if (rank.device == Device::cuda) {
    const Bytes peak{zero::max_over_ranks(communicator, planned.engine->library_peak().value)};
    // The driver's figure; ATen's allocator keeps what it once had, so it is a peak.
    const Bytes used{zero::max_over_ranks(communicator, memory::device_used(rank.device).value)};
    const Bytes fixed = plan.context + plan.communicator;
    return memory_table({{"device arena", plan.device.arena, program.device_arena},
                         {"library", library, peak},
                         {"context and communicator", fixed, used - program.device_arena - peak},
                         {"device in all", plan.device_total(), used},
                         {"host arena", plan.host.arena, program.host_arena}});
  }
  const Bytes mine = peak_growth(planned.memory_base);
  const Bytes peak{zero::max_over_ranks(communicator, mine.value)};
  return memory_table({{"arenas and library", arenas + library, peak}});
}

void write_results(const std::string& folder, const std::optional<TrainResult>& trained,
                   const std::optional<EvalResult>& evaluated) {
  const std::string all = folder + "/all_results.json";
  std::vector<std::string> objects;
  if (std::filesystem::exists(all)) objects.push_back(read_text_file(all));
  const auto earlier = objects.size();
  if (trained) {
    objects.push_back(train_results_json(*trained));
    write_text_file(folder + "/train_results.json", objects.back());
  }
  if (evaluated) {
    objects.push_back(eval_results_json(*evaluated, trained ? trained->epoch : 0));
    write_text_file(folder + "/eval_results.json", objects.back());
  }
  if (objects.size() > earlier) write_text_file(all, merge_results_json(objects));
}

}  // namespace zt::train
