#include "train/trainer_state.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "train/python_json.h"

namespace zt::train {
namespace {

using nlohmann::json;

constexpr int kIndent = 2;

json initial_values(const TrainerStateFacts& facts) {
  return {{"best_global_step", nullptr},
          {"best_metric", nullptr},
          {"best_model_checkpoint", nullptr},
          {"epoch", 0.0},
          {"eval_steps", facts.eval_steps},
          {"global_step", 0},
          {"is_hyper_param_search", false},
          {"is_local_process_zero", true},
          {"is_world_process_zero", true},
          {"log_history", json::array()},
          {"logging_steps", facts.logging_steps},
          {"max_steps", facts.max_steps},
          {"num_input_tokens_seen", 0},
          {"num_train_epochs", facts.num_train_epochs},
          {"save_steps", facts.save_steps},
          {"total_flos", 0.0},
          {"train_batch_size", facts.train_batch_size},
          {"trial_name", nullptr},
          {"trial_params", nullptr}};
}

using Is = bool (json::*)() const noexcept;

/// What goes on from a checkpoint; the other keys follow from the run's own flags.
constexpr std::pair<const char*, Is> kRestored[] = {
    {"best_global_step", &json::is_number_integer},      {"best_metric", &json::is_number},
    {"best_model_checkpoint", &json::is_string},         {"epoch", &json::is_number},
    {"global_step", &json::is_number_integer},           {"log_history", &json::is_array},
    {"num_input_tokens_seen", &json::is_number_integer}, {"total_flos", &json::is_number}};

}  // namespace

TrainerState::TrainerState(TrainerStateFacts facts, std::string path)
    : facts_(facts), path_(std::move(path)), values_(initial_values(facts_)) {}

void TrainerState::restore(const std::string& text) {
  constexpr const char* kName = "trainer_state.json";
  const auto saved = from_python_json(text, kName);
  if (!saved.is_object() || !saved.contains("log_history")) {
    throw FileError(fmt::format(
        "[train.state] {} is not the state of a Trainer: expected an object with a log_history. "
        "Resume from another checkpoint.",
        kName));
  }
  for (const auto& [key, is] : kRestored) {
    if (!saved.contains(key) || saved[key].is_null()) continue;
    if (!(saved[key].*is)()) {
      throw FileError(fmt::format(
          "[train.state] {} is not the state of a Trainer: got {} as {}. Resume from another "
          "checkpoint.",
          kName, saved[key].dump(), key));
    }
    values_[key] = saved[key];
  }
}

std::string TrainerState::checkpoint_text() const { return text(true); }

void TrainerState::set_best(double metric, std::int64_t step, const std::string& folder) {
  values_["best_metric"] = metric;
  values_["best_global_step"] = step;
  values_["best_model_checkpoint"] = folder;
}

void TrainerState::on_step(const StepRecord& record) {
  values_["global_step"] = record.step;
  values_["epoch"] = record.epoch;
  values_["num_input_tokens_seen"] =
      values_["num_input_tokens_seen"].get<std::int64_t>() + record.tokens;
  values_["total_flos"] = values_["total_flos"].get<double>() +
                          facts_.flops_per_token * static_cast<double>(record.tokens);
}

void TrainerState::on_log(const LogRecord& record) {
  add(history_values(record), record.step.step);
}

void TrainerState::on_evaluate(const StepRecord& step, const EvalResult& result) {
  add(history_values(result, step.epoch), step.step);
  if (ended_) write();
}

void TrainerState::on_end(const TrainResult& result) {
  add(history_values(result), result.steps);
  ended_ = true;
  write();
}

void TrainerState::add(const LogValues& values, std::int64_t step) {
  json entry = {{"step", step}};
  for (const auto& [name, value] : values) entry[name] = value;
  values_["log_history"].push_back(std::move(entry));
}

std::string TrainerState::text(bool saving) const {
  json all = values_;
  const bool last = values_["global_step"].get<std::int64_t>() >= facts_.max_steps;
  all["stateful_callbacks"]["TrainerControl"] = {{"args",
                                                  {{"should_epoch_stop", false},
                                                   {"should_evaluate", false},
                                                   {"should_log", false},
                                                   {"should_save", saving},
                                                   {"should_training_stop", last}}},
                                                 {"attributes", json::object()}};
  return to_python_json(all, kIndent) + "\n";
}

void TrainerState::write() const {
  if (!path_.empty()) write_text_file(path_, text(false));
}

}  // namespace zt::train
