#include "train/run_parts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "memory/arena.h"
#include "train/memory_report.h"
#include "zero/rank_values.h"
#include "zero/residency.h"

namespace zt::train {

plan::Target plan_target(const config::Config& config, const zero::RankContext& rank,
                         int local_world) {
  plan::Target target;
  target.device = rank.device;
  target.world = rank.communicator->world();
  target.local_world = local_world;
  target.host_memory = {::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGE_SIZE)};
  if (rank.device == Device::cuda) {
    const auto capacity = config.launch.gpu_memory.value_or(memory::device_capacity(rank.device));
    target.device_memory = {-zero::max_over_ranks(*rank.communicator, -capacity.value)};
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

std::string compare_memory(const zero::Engine& engine, const plan::Candidate& planned,
                           const zero::RankContext& rank, const ProcessMemory& memory_base) {
  const auto& program = engine.program();
  const Bytes arenas = program.device_arena + program.host_arena;
  const Bytes library = planned.memory.library;
  auto& communicator = *rank.communicator;
  if (rank.device == Device::cuda) {
    const Bytes peak{zero::max_over_ranks(communicator, engine.library_peak().value)};
    // The driver's figure; ATen's allocator keeps what it once had, so it is a peak.
    const Bytes used{zero::max_over_ranks(communicator, memory::device_used(rank.device).value)};
    const Bytes fixed = planned.memory.context + planned.memory.communicator;
    return memory_table({{"device arena", planned.memory.device.arena, program.device_arena},
                         {"library", library, peak},
                         {"context and communicator", fixed, used - program.device_arena - peak},
                         {"device in all", planned.memory.device_total(), used},
                         {"host arena", planned.memory.host.arena, program.host_arena}});
  }
  const Bytes mine = peak_growth(memory_base);
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
