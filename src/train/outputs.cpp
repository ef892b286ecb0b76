#include "train/outputs.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "config/fields.h"
#include "config/flags_table.h"
#include "train/csv_log.h"
#include "train/metrics_file.h"
#include "train/progress.h"
#include "train/python_json.h"
#include "train/tensorboard.h"

namespace zt::train {
namespace {

TrainerStateFacts state_facts(const config::Config& config, const OutputFacts& facts) {
  const auto& plan = facts.plan;
  const double epochs =
      config.run.max_steps > 0
          ? static_cast<double>(plan.total_steps) /
                static_cast<double>(std::max<std::int64_t>(1, plan.updates_per_epoch))
          : config.run.num_train_epochs;
  TrainerStateFacts state;
  state.max_steps = plan.total_steps;
  if (plan.logging_every > 0) state.logging_steps = plan.logging_every;
  if (plan.eval_every > 0) state.eval_steps = plan.eval_every;
  if (plan.save_every > 0) state.save_steps = plan.save_every;
  state.train_batch_size = config.run.per_device_train_batch_size;
  state.num_train_epochs = static_cast<std::int64_t>(std::ceil(epochs));
  state.flops_per_token = facts.total_flos_per_token;
  return state;
}

std::string logging_dir(const config::Config& config, const OutputFacts& facts) {
  if (!config.run.logging_dir.empty()) return config.run.logging_dir;
  if (!facts.environment_log_dir.empty()) return facts.environment_log_dir;
  return config.run.output_dir + "/" + default_logging_dir(wall_seconds());
}

std::unique_ptr<TensorBoard> open_tensorboard(const config::Config& config,
                                              const OutputFacts& facts) {
  auto board = std::make_unique<TensorBoard>(logging_dir(config, facts));
  board->add_text("args", args_json(config));
  board->add_text("model_config", facts.model_config);
  return board;
}

nlohmann::json typed(const config::Field& field, const std::string& text) {
  switch (field.type) {
    case config::FieldType::boolean:
    case config::FieldType::integer:
    case config::FieldType::real:
    case config::FieldType::bytes:
      return text == "auto" ? nlohmann::json(nullptr) : nlohmann::json::parse(text);
    case config::FieldType::text:
    case config::FieldType::choice:
      return text;
  }
  return text;
}

}  // namespace

Outputs open_outputs(const config::Config& config, const OutputFacts& facts) {
  const std::string& folder = config.run.output_dir;
  Outputs outputs;
  auto& observers = outputs.observers;
  if (config.run.do_train) {
    observers.push_back(
        std::make_unique<MetricsFile>(folder + "/metrics.jsonl", facts.resumed_step));
    auto state =
        std::make_unique<TrainerState>(state_facts(config, facts), folder + "/trainer_state.json");
    outputs.state = state.get();
    observers.push_back(std::move(state));
  }
  if (config.run.report_tensorboard) observers.push_back(open_tensorboard(config, facts));
  if (config.run.report_csv) {
    observers.push_back(std::make_unique<CsvLog>(folder + "/log_history.csv", facts.resumed_step));
  }
  observers.push_back(std::make_unique<Progress>(
      ProgressOptions{.total_steps = facts.plan.total_steps,
                      .resumed_step = facts.resumed_step,
                      .flops_per_token = facts.flops_per_token,
                      .world = facts.world,
                      .show_mfu = facts.on_gpu,
                      .terminal = ::isatty(STDOUT_FILENO) == 1 && !config.run.disable_tqdm},
      stdout));
  return outputs;
}

std::string args_json(const config::Config& config) {
  auto args = nlohmann::json::object();
  for (const auto& flag : config::flag_table()) {
    if (flag.use != config::FlagUse::applies || flag.field.empty()) continue;
    const auto& field = config::field_at(flag.field);
    args[flag.name] = typed(field, field.get(config));
  }
  return to_python_json(args, 2);
}

}  // namespace zt::train
