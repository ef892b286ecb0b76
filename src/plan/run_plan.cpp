#include "plan/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "base/policy_names.h"
#include "config/resolve.h"
#include "plan/choose.h"
#include "plan/ds_config.h"
#include "plan/memory_tables.h"
#include "plan/plan_flags.h"
#include "plan/plan_times.h"
#include "plan/render.h"
#include "plan/settings.h"
#include "plan/time_model.h"
#include "zero/engine_options.h"

namespace zt::plan {
namespace {

/// Elements of a reduction when no DeepSpeed JSON names them: 100 MB in bf16, large enough for full
/// link speed and small beside a block.
constexpr std::int64_t kReduceBucket = 50'000'000;

/// For what is resolved before, or without, a model.
constexpr std::int64_t kSomeHiddenSize = 1024;

struct Request {
  PlanFlags flags;
  config::Config config;
  NamedModel model;
  Target target;
  zero::EngineOptions options;
};

config::Facts facts_of(std::int64_t hidden_size) {
  config::Facts facts;
  facts.hidden_size = hidden_size;
  facts.has_gpu = true;  // of the machine that is planned for
  facts.reads_data = false;
  facts.reads_model = false;
  facts.environment = config::all_variables();
  return facts;
}

config::Config resolve_flags(const PlanFlags& flags, std::int64_t hidden_size) {
  return config::resolve(flags.rest, facts_of(hidden_size));
}

Request read_request(const PlanFlags& flags, const ModelSource& source) {
  if (flags.model.empty() && !flags.tables) {
    throw ConfigError(
        "[plan.flags] command line: --model is missing. Give a folder with config.json "
        "or a shape as Qwen3-0.6B.");
  }
  static_cast<void>(resolve_flags(flags, kSomeHiddenSize));  // wrong flags before a model is read
  Request request{.flags = flags};
  if (!flags.model.empty()) request.model = source(flags.model);
  request.config =
      resolve_flags(flags, flags.model.empty() ? kSomeHiddenSize : request.model.hidden_size);
  const auto& config = request.config;
  const int world = std::max(1, config.launch.nproc);
  if (world % flags.num_nodes != 0) {
    throw ConfigError(fmt::format(
        "[plan.flags] --num_nodes: got {} for {} ranks, expected a number that divides them. "
        "--nproc counts the ranks of all machines.",
        flags.num_nodes, world));
  }
  request.target = {.device = config.launch.use_cpu ? Device::cpu : Device::cuda,
                    .world = world,
                    .device_memory = config.launch.gpu_memory.value_or(Bytes{}),
                    .host_memory = config.launch.host_memory.value_or(Bytes{}),
                    .local_world = world / flags.num_nodes,
                    .sheet = nullptr,
                    .measured = {}};
  if (request.target.device == Device::cuda) {
    request.target.sheet = &plan_sheet(flags, request.target.device_memory);
    const bool named = !flags.device.empty() && !config.launch.gpu_memory;
    if (named) request.target.device_memory = request.target.sheet->memory;
  }
  request.options = zero::engine_options(config);
  if (config.origins.at("zero.reduce_bucket_size").place == "default") {
    request.options.zero.reduce_bucket_size = kReduceBucket;
  }
  return request;
}

std::string heading(const Request& request, const Planner& planner) {
  const auto& options = request.options;
  const auto& target = request.target;
  const int nodes = request.flags.num_nodes;
  auto text = fmt::format(
      "{}: {:.2f}B parameters in {} units; {} {} rank{}{}; block {}, micro-batch {} x {}, {}\n",
      request.model.name, static_cast<double>(planner.num_params().value) / 1e9,
      request.model.parts.units.size(), target.world,
      target.device == Device::cuda ? "CUDA" : "CPU", target.world == 1 ? "" : "s",
      nodes > 1 ? fmt::format(" on {} machines", nodes) : "", options.shape.sequence,
      options.shape.batch, options.micro_steps, to_string(options.precision.compute));
  if (target.device_memory.value > 0) {
    text += fmt::format("fits: at most {:.0f} % of {} per rank\n", kUsableShare * 100,
                        format_bytes(target.device_memory));
  }
  if (nodes > 1) text += "times: links between machines count as those within one\n";
  return text + "per rank and step (sent: to other ranks; host GB: between device and host)\n";
}

std::vector<Candidate> rows_of(const Request& request, const Planner& planner) {
  auto rows = table(planner, request.options);
  if (request.flags.zero_stage) {
    std::erase_if(rows, [&](const Candidate& row) {
      return row.options.zero.stage != *request.flags.zero_stage;
    });
  }
  return rows;
}

/// Steps/s, tokens/s and the time of --max_steps of a candidate, by the device file.
void show_time(const Request& request, const Planner& planner, const Candidate& chosen,
               std::ostream& out) {
  if (request.flags.device_file.empty() || !request.model.sizes) return;
  const auto* sizes = request.model.sizes->as<model::Qwen3Config>();
  if (sizes == nullptr) {
    out << "device files predict Qwen3 models only: the times above are a data sheet's\n";
    return;
  }
  const auto device = read_device_file(request.flags.device_file);
  const int world = request.target.world;
  const auto time =
      predict_step(*sizes, chosen.options, planner.program(chosen.options), world, device);
  const auto& options = chosen.options;
  const double step = time.total();
  const double tokens =
      static_cast<double>(options.shape.tokens() * options.micro_steps * world) / step;
  out << fmt::format(
      "predicted on {}: {:.2f} ms per step ({:.2f} steps/s), {:.0f} tokens/s, {:.0f} per rank\n"
      "  GEMM {:.1f} ms, attention {:.1f} ms, other kernels {:.1f} ms, slowed by communication "
      "{:.1f} ms, exposed communication {:.1f} ms\n",
      request.flags.device_file, 1e3 * step, 1 / step, tokens, tokens / world, 1e3 * time.gemm,
      1e3 * time.attention, 1e3 * time.kernels, 1e3 * time.slowed, 1e3 * time.exposed);
  const auto steps = request.config.run.max_steps;
  if (steps > 0) {
    out << fmt::format("  --max_steps {}: {:.1f} min\n", steps,
                       static_cast<double>(steps) * step / 60);
  }
}

/// What the user has named of stage and offload.
Named named_by(const Request& request) {
  const auto& zero = request.config.zero;
  const auto is_named = [&](const char* field) {
    const auto origin = request.config.origins.find(field);
    return origin != request.config.origins.end() && origin->second.place != "default";
  };
  Named named{.stage = request.flags.zero_stage, .disk = request.target.host_memory.value > 0};
  if (is_named("zero.optimizer_place")) named.optimizer = zero.optimizer_place;
  if (is_named("zero.param_place")) named.param = zero.param_place;
  if (is_named("zero.offload_ratio")) named.ratio = zero.offload_ratio;
  for (const auto& path : {zero.param_nvme_path, zero.optimizer_nvme_path}) {
    if (path.empty()) continue;
    named.disk = true;
    named.nvme_path = path;
  }
  return named;
}

/// The row of the table that is this setting, at the end of the table when it is none of them.
std::size_t row_of(std::vector<Candidate>& rows, const Setting& setting, const Planner& planner) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Candidate& row) {
    return setting_name(row.options) == setting_name(setting.asked);
  });
  if (found != rows.end()) return static_cast<std::size_t>(found - rows.begin());
  rows.push_back(table_row(planner, setting.asked));
  return rows.size() - 1;
}

/// The setting to take, what a run makes of it, and its DeepSpeed JSON.
void show_choice(const Request& request, const Planner& planner, const Settings& settings,
                 std::ostream& out) {
  const auto& taken = settings.fitting.front();
  const auto& chosen = taken.chosen;
  out << fmt::format("\ntake: {}\n{}", setting_name(taken.asked),
                     reason(settings, planner.target()));
  out << fmt::format(
      "zt train uses the room that is left: {} ({} per rank, {:.2f} GB sent per step)\n",
      describe_choices(chosen.options), format_bytes(chosen.memory.device_total()),
      static_cast<double>(chosen.costs.sent.value) / 1e9);
  const auto& given_zero = request.config.zero;
  const auto& path = taken.asked.zero.optimizer_nvme_path;
  if (taken.asked.zero.optimizer_place == Place::nvme && given_zero.optimizer_nvme_path.empty() &&
      given_zero.param_nvme_path.empty()) {
    out << fmt::format("nvme_path: none was given, {} stands for it; name your disk there\n", path);
  }
  show_time(request, planner, chosen, out);
  if (taken.asked.precision.compute != DType::f32) {
    out << arithmetic_line(taken.asked.zero, planner.num_params(), request.target.world);
  }
  if (request.flags.output.empty()) return;
  const auto given =
      config::deepspeed_document(request.flags.rest, facts_of(request.model.hidden_size));
  write_new_file(request.flags.output, ds_config_json(taken.asked, given), request.flags.overwrite);
  out << fmt::format("wrote {}\n", request.flags.output);
}

/// What --details prints of the marked row, and --schedule of what a run makes of it.
void show_row(const Request& request, const Planner& planner, const Candidate& row,
              const Candidate& chosen, std::ostream& out) {
  if (request.flags.details) out << '\n' << print(row.memory);
  if (request.flags.schedule) out << '\n' << schedule::print(planner.program(chosen.options));
}

/// The classic arithmetic: for the model if there is one, and as guides print it; advice by size
/// for cards whose memory is known.
void show_tables(const Request& request, const Planner* planner, std::ostream& out) {
  if (planner != nullptr) {
    out << fmt::format("\n{} on {} cards, model states by bytes per parameter\n",
                       request.model.name, request.target.world)
        << arithmetic_table(*planner, request.options) << '\n';
  }
  out << classic_examples(request.target, request.options) << '\n' << assumptions_text();
  if (request.target.device_memory.value > 0) {
    out << '\n' << size_advice(request.target, request.options);
  }
}

/// What the DeepSpeed JSON that the user gave needs as it is. True when it fits, or none was given.
bool show_given(const Request& request, const Planner& planner, std::ostream& out) {
  const auto& origin = request.config.origins.at("zero.stage");
  if (origin.place == "default") return true;
  const auto given = choose(planner, request.options);
  const bool suffices = fits(given, request.target, 1.0);
  out << fmt::format("\ngiven ({}): stage {}, offload {}, {}: {} per rank, {}\n", origin.place,
                     given.options.zero.stage, offload_name(given.options.zero),
                     describe_choices(given.options), format_bytes(given.memory.device_total()),
                     suffices ? "fits" : "does not fit");
  show_time(request, planner, given, out);
  return suffices;
}

}  // namespace

std::string plan_help() { return plan_flags_help(); }

int run_plan(const std::vector<std::string>& args, const ModelSource& source, std::ostream& out) {
  const auto flags = parse_plan_flags(args);
  if (flags.help) {
    out << plan_help();
    return 0;
  }
  const auto request = read_request(flags, source);
  if (flags.model.empty()) {
    show_tables(request, nullptr, out);
    return 0;
  }
  const Planner planner(request.model.parts, request.target);
  const auto times = plan_times(flags, request.model, request.target);
  auto rows = rows_of(request, planner);
  const auto settings =
      find_settings(planner, request.options, named_by(request), times.seconds, rows);
  std::optional<std::size_t> best;
  if (!settings.fitting.empty()) best = row_of(rows, settings.fitting.front(), planner);
  out << heading(request, planner) << '\n' << render(rows, request.target, best);
  out << fmt::format(
             "\nthe best setting of each way of offload, as a run would make it; times: {}\n",
             times.source)
      << render(settings, request.target);
  for (const auto& notice : request.config.notices) out << "note: " << notice << '\n';
  const bool given_fits = show_given(request, planner, out);
  if (best) {
    show_choice(request, planner, settings, out);
    show_row(request, planner, rows[*best], settings.fitting.front().chosen, out);
    if (request.flags.tables) show_tables(request, &planner, out);
    return given_fits ? 0 : 1;
  }
  out << fmt::format(
      "\nnothing fits: use more or larger GPUs, what the lines above name, a smaller --block_size "
      "or --per_device_train_batch_size{}\n",
      request.flags.zero_stage ? ", or another --zero_stage" : "");
  if (request.flags.tables) show_tables(request, &planner, out);
  return 1;
}

}  // namespace zt::plan
