#include "bench/run_bench.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <chrono>
#include <fstream>
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "base/policy_names.h"
#include "bench/calibrate.h"
#include "bench/ceiling.h"
#include "bench/random_inputs.h"
#include "bench/report.h"
#include "config/resolve.h"
#include "config/text_values.h"
#include "memory/arena.h"
#include "model/family.h"
#include "plan/choose.h"
#include "plan/offload_report.h"
#include "plan/roofline.h"
#include "plan/time_model.h"
#include "train/rank_group.h"
#include "train/run_parts.h"
#include "train/trace.h"
#include "zero/engine_options.h"
#include "zero/residency.h"

namespace zt::bench {
namespace {

constexpr double kLearningRate = 1e-5;
constexpr int kBatches = 4;  ///< different ones, taken in turn
constexpr int kMeasuredSteps =
    2;  ///< of the pass with every operation timed, after one that warms up

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Adds text to a file, or finds out that it could. Errors: FileError.
void append(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::app | std::ios::binary);
  if (!(file << text).flush()) {
    throw FileError(fmt::format(
        "[bench.output] {}: cannot be written. Name a file in a folder that is there, on a disk "
        "with space.",
        path));
  }
}

/// Before minutes of measuring, not after them.
void require_writable(const BenchFlags& flags) {
  for (const auto* path : {&flags.json, &flags.trace}) {
    if (!path->empty()) append(*path, "");
  }
}

model::Model model_of(const std::string& folder_or_shape) {
  return model::find_model(folder_or_shape,
                           "[bench.model] --model: got '" + config::shown(folder_or_shape) + "'");
}

/// What only transformers have a model of yet.
const model::Qwen3Config& transformer_of(const model::Model& model, const char* flag) {
  if (const auto* config = model.as<model::Qwen3Config>()) return *config;
  throw ConfigError(
      fmt::format("[bench.flags] {}: got a {} model, expected a Qwen3 one. Leave the flag out.",
                  flag, model.architecture()));
}

/// One rank of a row.
class Row {
 public:
  Row(const BenchFlags& flags, const config::Config& config, zero::RankContext context,
      int local_world)
      : flags_(flags), context_(context), model_(model_of(flags.model)) {
    auto parts = model_.make();
    const plan::Planner planner(parts, train::plan_target(config, context, local_world));
    planned_ = plan::choose(planner, zero::engine_options(config));
    micro_batch_ = config.run.per_device_train_batch_size;
    accumulation_ = config.run.gradient_accumulation_steps;
    const auto values = random_params(parts.params);
    engine_ = std::make_unique<zero::Engine>(std::move(parts), planned_->options, context);
    const auto report =
        plan::offload_report(*planned_, engine_->program(), engine_->measure_host(),
                             plan::layer_share(model_, planned_->options, planner.target().sheet));
    if (!report.empty()) log::info("bench", report);
    engine_->load_params(values);
    batches_ = random_batches(planned_->options.shape, model_.vocab(), kBatches,
                              context.communicator->rank(), context.device == Device::cuda);
  }

  RowResult run() {
    RowResult result;
    std::int64_t allocations = 0;  // up to the second step
    for (int i = 0; i < flags_.warmup; ++i) {
      const double loss = step();
      if (i == 0) result.first_loss = loss;
      if (i == 1) allocations = memory::library_allocations(context_.device);
    }
    for (int i = 0; i < flags_.steps; ++i) {
      const double begin = now_seconds();
      result.last_loss = step();
      if (i == 0 && flags_.warmup == 0) result.first_loss = result.last_loss;
      result.seconds.push_back(now_seconds() - begin);
    }
    if (flags_.warmup >= 2) {
      result.allocations = memory::library_allocations(context_.device) - allocations;
    }
    result.arena = engine_->program().device_arena;
    result.library = engine_->library_peak();
    result.planned = planned_->memory.device_total();
    result.planned_host = planned_->memory.host_total();
    result.used = memory::device_used(context_.device);
    const auto& shape = planned_->options.shape;
    result.tokens_per_rank = static_cast<double>(shape.tokens() * planned_->options.micro_steps);
    result.flops_per_token = model_.train_flops_per_token(shape.sequence);
    if (!flags_.device_file.empty()) {
      const auto time = plan::predict_step(
          transformer_of(model_, "--device_file"), planned_->options, engine_->program(),
          context_.communicator->world(), plan::read_device_file(flags_.device_file));
      result.predicted = {time.gemm,   time.attention, time.kernels,
                          time.slowed, time.exposed,   time.groups};
    }
    if (flags_.profile) measure_operations(result);
    setup_graphs_ = engine_->uses_graphs();
    engine_.reset();
    const auto* transformer = model_.as<model::Qwen3Config>();
    if (flags_.ceiling && transformer != nullptr) add_ceiling(*transformer, result);
    return result;
  }

  [[nodiscard]] RowSetup setup() const {
    const auto& options = planned_->options;
    const int world = context_.communicator->world();
    const auto build = zero::build_options(options, world);
    const bool boundary = build.residency.reduce_at == ReduceAt::boundary;
    RowSetup setup;
    setup.model = flags_.model;
    setup.device = context_.device == Device::cuda ? "cuda" : "cpu";
    setup.world = world;
    setup.stage = options.zero.stage;
    setup.sequence = options.shape.sequence;
    setup.micro_batch = micro_batch_;
    setup.accumulation = accumulation_;
    setup.coalesce = options.shape.batch / micro_batch_;
    setup.recompute = to_string(build.recompute);
    setup.reduce_at = to_string(build.residency.reduce_at);
    setup.reduce = to_string(build.reduce);
    setup.compute = to_string(build.compute);
    setup.grads = to_string(boundary ? build.grad_accum : build.compute);
    setup.wire = to_string(build.wire);
    setup.retain = build.retain;
    setup.deterministic = options.zero.deterministic;
    setup.graphs = setup_graphs_;
    return setup;
  }

 private:
  double step() {
    const auto& options = planned_->options;
    engine_->begin_step(options.shape.tokens() * options.micro_steps *
                        context_.communicator->world());
    for (int m = 0; m < options.micro_steps; ++m) {
      engine_->micro_step(batches_[next_++ % batches_.size()]);
    }
    return engine_->step(kLearningRate).loss;
  }

  void measure_operations(RowResult& result) {
    engine_->measure_operations(true);
    step();  // graphs are captured again
    (void)engine_->take_measured();
    for (int i = 0; i < kMeasuredSteps; ++i) step();
    const auto lists = engine_->take_measured();
    std::vector<train::TraceEvent> events;
    for (const auto& list : lists) {
      std::vector<Interval> intervals;
      for (const auto& op : list.operations) {
        intervals.push_back({op.stream, op.begin, op.end});
        if (op.end > op.begin) {
          result.groups[plan::group_of(op.name, model_.layers() + 1)] +=
              (op.end - op.begin) / kMeasuredSteps;
        }
        const double origin = list.begin - lists.front().begin;
        events.push_back(
            {op.name, op.stream, to_string(list.variant), origin + op.begin, origin + op.end});
      }
      const auto busy = busy_of(std::move(intervals));
      result.busy.compute += busy.compute / kMeasuredSteps;
      result.busy.communication += busy.communication / kMeasuredSteps;
      result.busy.exposed += busy.exposed / kMeasuredSteps;
      result.busy.length += busy.length / kMeasuredSteps;
    }
    if (flags_.trace.empty() || context_.communicator->rank() != 0) return;
    std::ofstream(flags_.trace, std::ios::trunc).close();
    append(flags_.trace, train::chrome_trace(events, 0));
  }

  void add_ceiling(const model::Qwen3Config& model, RowResult& result) const {
    const auto once = measure_ceiling(model, planned_->options, context_);
    const auto times = static_cast<double>(planned_->options.micro_steps);
    result.ceiling = once.all * times;
    result.ceiling_gemm = once.gemm * times;
    result.ceiling_attention = once.attention * times;
  }

  const BenchFlags& flags_;
  zero::RankContext context_;
  model::Model model_;
  std::optional<plan::Candidate> planned_;
  std::int64_t micro_batch_ = 1, accumulation_ = 1;
  std::unique_ptr<zero::Engine> engine_;
  std::vector<layer::Batch> batches_;
  std::size_t next_ = 0;
  bool setup_graphs_ = false;
};

void report(const BenchFlags& flags, const RowSetup& setup, const RowResult& result) {
  std::cout << text_row(setup, result) << std::flush;
  if (!flags.json.empty()) append(flags.json, json_row(setup, result) + "\n");
}

void run_in_group(const BenchFlags& flags, const config::Config& config,
                  const config::RankEnvironment& rank, Device device) {
  const auto group = comm::rendezvous(train::rendezvous_options(rank), device);
  comm::run_part(*group, [&] {
    if (rank.rank == 0) require_writable(flags);
    const zero::RankContext context{&group->communicator(), device,
                                    rank.local_rank,        nullptr,
                                    rank.local_rank,        rank.local_world_size};
    if (flags.calibrate.empty()) {
      Row row(flags, config, context, rank.local_world_size);
      const auto result = row.run();
      if (rank.rank == 0) report(flags, row.setup(), result);
    } else {
      const auto measured = calibrate(context);
      if (rank.rank == 0) plan::write_device_file(flags.calibrate, measured);
    }
    group->leave();
  });
}

}  // namespace

config::Config bench_config(const BenchFlags& flags, std::optional<int> world, bool has_gpu) {
  config::Facts facts;
  if (world) facts.world_size = *world;
  facts.has_gpu = has_gpu;
  if (!flags.model.empty()) facts.hidden_size = model_of(flags.model).hidden();
  facts.reads_data = false;
  facts.reads_model = false;
  facts.environment = config::all_variables();
  auto config = config::resolve(flags.rest, facts);
  if (flags.zero_stage) config.zero.stage = *flags.zero_stage;
  (void)zero::residency(config.zero);
  return config;
}

void run_bench(const BenchFlags& flags, const config::RankEnvironment& rank, bool has_gpu) {
  const auto config = bench_config(flags, rank.world_size, has_gpu);
  log::init(rank.rank, rank.rank == 0 ? log::Level::info : log::Level::warning);
  const auto device = config.launch.device == config::DeviceKind::cuda ? Device::cuda : Device::cpu;
  try {
    run_in_group(flags, config, rank, device);
  } catch (const c10::OutOfMemoryError& error) {
    throw DeviceError(std::string("[bench.run] out of memory: ") + error.what_without_backtrace());
  } catch (const c10::Error& error) {
    throw InternalError(std::string("[bench.run] libtorch: ") + error.what_without_backtrace());
  }
}

}  // namespace zt::bench
