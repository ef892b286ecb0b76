#include <algorithm>
#include <cmath>
#include <sstream>

#include "config/fields.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr const char* kLevels = "debug|info|warning|error|critical|passive";

void resolve_eval_steps(Context& context) {
  RunConfig& run = context.config.run;
  const std::string* steps = context.flags.find("eval_steps");
  if (steps == nullptr || lower_case(*steps) == "none") {
    run.eval_steps = run.logging_steps;
    context.set_origin("run.eval_steps", "--logging_steps", "default of --eval_steps");
    return;
  }
  const std::optional<double> value = parse_real(*steps);
  if (!value) return;  // reported with the other flags
  if (*value <= 0) {
    context.refuse_flag("eval_steps", ": got " + shown(*steps) + ", expected a number > 0");
  }
  run.eval_steps = *value;
  context.set_origin_flag("run.eval_steps", "eval_steps");
}

void resolve_evaluation(Context& context) {
  RunConfig& run = context.config.run;
  const std::string* strategy = context.flags.find("eval_strategy");
  const std::string text = strategy == nullptr ? "no" : lower_case(*strategy);
  if (text != "steps" && context.flags.find("eval_steps") != nullptr) {
    context.notice(context.flags.written("eval_steps") +
                   ": no effect without --eval_strategy steps (" +
                   context.flags.place("eval_steps") + ")");
  }
  if (text != "steps" && text != "epoch") return;
  run.eval_strategy = text == "steps" ? Interval::steps : Interval::epoch;
  run.do_eval = true;
  context.set_origin_flag("run.eval_strategy", "eval_strategy");
  context.set_origin_flag("run.do_eval", "eval_strategy");
  if (run.eval_strategy == Interval::steps) resolve_eval_steps(context);
}

/// Why a tracker that Hugging Face's Trainer knows is not written.
std::string missing_tracker(const std::string& name) {
  if (name == "wandb") {
    return "--report_to wandb is not built: the format of its offline folder is not documented";
  }
  return "--report_to " + shown(name) + " is not built";
}

void resolve_reports(Context& context) {
  RunConfig& run = context.config.run;
  const std::string* value = context.flags.find("report_to");
  if (value == nullptr) return;
  std::string words = *value;
  std::replace(words.begin(), words.end(), ',', ' ');  // a list of YAML, or one typed with commas
  std::istringstream names(words);
  for (std::string name; names >> name;) {
    const bool all = name == "all";
    if (all || name == "tensorboard") run.report_tensorboard = true;
    if (all || name == "csv") run.report_csv = true;
    if (!all && name != "tensorboard" && name != "csv" && name != "none") {
      context.problems.add(context.flags.place("report_to"),
                           missing_tracker(name) + ", expected tensorboard, csv, all or none",
                           "Use --report_to csv for a table of all values");
    }
  }
  if (run.report_tensorboard) {
    context.set_origin_flag("run.report_tensorboard", "report_to");
  } else if (context.flags.find("logging_dir") != nullptr) {
    context.notice(context.flags.written("logging_dir") +
                   ": no effect without --report_to tensorboard (" +
                   context.flags.place("logging_dir") + ")");
  }
  if (run.report_csv) context.set_origin_flag("run.report_csv", "report_to");
}

void check_whole_steps(Context& context) {
  const std::pair<const char*, double> steps[] = {
      {"eval_steps", context.config.run.eval_steps},
      {"logging_steps", context.config.run.logging_steps}};
  for (const auto& [name, value] : steps) {
    if (value > 1 && std::floor(value) != value) {
      context.refuse_flag(
          name, ": got " + format_real(value) + ", expected a whole number or a share below 1");
    }
  }
}

void resolve_data_order(Context& context) {
  DataConfig& data = context.config.data;
  if (data.max_train_samples == 0) data.max_train_samples = -1;  // Python's "no limit"
  if (data.max_eval_samples == 0) data.max_eval_samples = -1;
  const std::string* seed = context.flags.find("data_seed");
  if (seed == nullptr || lower_case(*seed) == "none") {
    data.data_seed = context.config.run.seed;
    if (context.flags.find("seed") != nullptr) {
      context.set_origin_flag("data.data_seed", "seed");
    }
  }
  if (data.document_mask && !data.packing) {
    context.notice(context.flags.written("document_mask") +
                   ": no effect without packing: each block holds one text (" +
                   context.flags.place("document_mask") + ")");
  }
  if (!context.flags.boolean("group_by_length", false)) return;
  if (context.flags.find("train_sampling_strategy") != nullptr &&
      data.train_sampling_strategy != Sampling::group_by_length) {
    context.refuse_flag("group_by_length",
                        " contradicts " + context.flags.written("train_sampling_strategy"),
                        "Keep one");
  }
  data.train_sampling_strategy = Sampling::group_by_length;
  context.set_origin_flag("data.train_sampling_strategy", "group_by_length");
}

void resolve_recompute(Context& context) {
  const std::string* flag = context.flags.find("gradient_checkpointing");
  if (flag == nullptr || !parse_bool(*flag)) return;
  const Recompute wanted = *parse_bool(*flag) ? Recompute::full : Recompute::none;
  std::optional<Recompute>& recompute = context.config.zero.recompute;
  if (context.flags.find("recompute") != nullptr && recompute != wanted) {
    context.refuse_flag("gradient_checkpointing",
                        " " + shown(*flag) + " contradicts " + context.flags.written("recompute") +
                            " " + field_at("zero.recompute").get(context.config),
                        "Keep one");
    return;
  }
  recompute = wanted;
  context.set_origin_flag("zero.recompute", "gradient_checkpointing");
}

void resolve_memory_flags(Context& context) {
  ZeroConfig& zero = context.config.zero;
  if (const std::string* retain = context.flags.find("retain")) {
    zero.retain_auto = lower_case(*retain) != "off";
    context.set_origin_flag("zero.retain_auto", "retain");
  }
  if (const std::string* graphs = context.flags.find("cuda_graphs")) {
    zero.cuda_graphs = lower_case(*graphs) != "off";
    context.set_origin_flag("zero.cuda_graphs", "cuda_graphs");
  }
  if (const std::string* transfers = context.flags.find("transfers")) {
    zero.copy_engines = lower_case(*transfers) == "copy";
    context.set_origin_flag("zero.copy_engines", "transfers");
  }
  if (const std::string* coalesce = context.flags.find("coalesce")) {
    const std::string text = *coalesce == "auto" ? "0" : *coalesce == "off" ? "1" : *coalesce;
    const bool is_zero = parse_integer(*coalesce) == 0;
    if (is_zero || !set_field(context.config, field_at("zero.coalesce"), text).empty()) {
      context.refuse_flag("coalesce", ": got '" + shown(*coalesce) +
                                          "', expected auto, off or a whole number >= 1");
    }
    context.set_origin_flag("zero.coalesce", "coalesce");
  }
  if (context.flags.boolean("full_determinism", false)) {
    zero.deterministic = true;
    context.set_origin_flag("zero.deterministic", "full_determinism");
  }
}

void resolve_log(Context& context) {
  RunConfig& run = context.config.run;
  if (const std::string* level = context.flags.find("log_level_replica")) {
    run.log_level_replica = lower_case(*level);
    context.set_origin_flag("run.log_level_replica", "log_level_replica");
  }
  if (const std::string* level = context.flags.find("log_level")) {
    run.log_level = lower_case(*level);
    if (context.config.origins.count("run.log_level") == 0) {
      context.set_origin_flag("run.log_level", "log_level");
    }
  } else if (!is_listed(run.log_level, kLevels)) {
    const DsEntry* entry = context.entry("log_level");
    context.problems.add(
        context.document->place(*entry),
        "log_level: got " + describe_value(*entry->value) + ", expected one of " + kLevels);
  }
}

void resolve_device(Context& context) {
  LaunchConfig& launch = context.config.launch;
  const bool on_gpu = context.facts.has_gpu && !launch.use_cpu;
  launch.device = on_gpu ? DeviceKind::cuda : DeviceKind::cpu;
  if (launch.use_cpu) {
    context.set_origin_flag("launch.device", "use_cpu");
  } else {
    context.set_origin("launch.device", "this machine", "default");
  }
  if (!on_gpu && context.flags.find("gpu_memory") != nullptr) {
    context.notice(context.flags.written("gpu_memory") + ": no effect on CPU ranks (" +
                   context.flags.place("gpu_memory") + ")");
  }
  if (context.flags.find("device") != nullptr && !context.flags.boolean("dry_run", false)) {
    context.notice(context.flags.written("device") + ": no effect without --dry_run (" +
                   context.flags.place("device") + ")");
  }
  const std::optional<std::int64_t> world = context.facts.world_size;
  if (world && *world < 1) {
    context.problems.add("environment", "the number of ranks is " + std::to_string(*world) +
                                            ", expected at least 1");
  }
}

/// DeepSpeed's variable limits its collectives, and with them every wait; here two flags do.
void resolve_timeouts(Context& context) {
  RunConfig& run = context.config.run;
  if (context.flags.written("ddp_timeout") != kTimeoutName) return;
  if (context.flags.find("hang_timeout") != nullptr) return;
  run.hang_timeout_seconds = run.ddp_timeout_seconds;
  context.set_origin_flag("run.hang_timeout_seconds", "ddp_timeout");
  context.notice(std::string(kTimeoutName) + ": a hang is noticed after " +
                 std::to_string(run.hang_timeout_seconds) +
                 " s, --hang_timeout names another limit (environment)");
}

}  // namespace

void resolve_run(Context& context) {
  resolve_timeouts(context);
  resolve_evaluation(context);
  resolve_reports(context);
  check_whole_steps(context);
  resolve_data_order(context);
  resolve_recompute(context);
  resolve_memory_flags(context);
  resolve_log(context);
  resolve_device(context);
}

}  // namespace zt::config
