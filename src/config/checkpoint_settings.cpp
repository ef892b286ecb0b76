#include <cmath>

#include "config/fields.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

/// Seconds of `90`, `45m`, `8h`, `2d`, `7:30:00`, `10:00`.
std::optional<double> parse_duration(const std::string& text) {
  if (text.empty()) return std::nullopt;
  if (text.find(':') != std::string::npos) {
    double seconds = 0;
    std::size_t begin = 0;
    for (int parts = 1; parts <= 3; ++parts) {
      const std::size_t end = text.find(':', begin);
      const auto part = parse_integer(text.substr(begin, end - begin));
      if (!part || *part < 0) return std::nullopt;
      seconds = seconds * 60 + static_cast<double>(*part);
      if (end == std::string::npos) return seconds;
      begin = end + 1;
    }
    return std::nullopt;
  }
  constexpr std::pair<char, double> kUnits[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  for (const auto& [unit, seconds] : kUnits) {
    if (text.back() != unit) continue;
    const auto number = parse_real(text.substr(0, text.size() - 1));
    return number ? std::optional(*number * seconds) : std::nullopt;
  }
  return parse_real(text);
}

void resolve_max_time(Context& context) {
  const std::string* text = context.flags.find("max_train_time");
  if (text == nullptr || lower_case(*text) == "none") return;
  const auto seconds = parse_duration(lower_case(trimmed(*text)));
  if (!seconds || *seconds <= 0) {
    context.refuse_flag("max_train_time", ": got " + shown(*text) +
                                              ", expected a time > 0 as 3600, 45m, 8h or 7:30:00");
    return;
  }
  context.config.checkpoint.max_train_seconds = *seconds;
  context.set_origin_flag("checkpoint.max_train_seconds", "max_train_time");
}

void resolve_resume(Context& context) {
  const std::string* text = context.flags.find("resume_from_checkpoint");
  if (text == nullptr) return;
  CheckpointConfig& checkpoint = context.config.checkpoint;
  const std::string word = lower_case(trimmed(*text));
  if (word == "none" || word == "false" || word.empty()) return;
  checkpoint.resume_from = word == "latest" || word == "true" ? word : trimmed(*text);
  context.set_origin_flag("checkpoint.resume_from", "resume_from_checkpoint");
  if (!checkpoint.init_from.empty()) {
    context.refuse_flag("resume_from_checkpoint",
                        " contradicts " + context.flags.written("init_from"), "Keep one");
  }
}

/// `eval_loss` and `loss` are the same, as in transformers.
void resolve_best(Context& context) {
  CheckpointConfig& checkpoint = context.config.checkpoint;
  if (context.flags.find("load_best_model_at_end") != nullptr) {
    checkpoint.load_best_model_at_end = context.flags.boolean("load_best_model_at_end", false);
    context.set_origin_flag("checkpoint.load_best_model_at_end", "load_best_model_at_end");
  }
  std::string& metric = checkpoint.metric_for_best_model;
  const std::string* named = context.flags.find("metric_for_best_model");
  if (named != nullptr && lower_case(*named) != "none") {
    metric = *named;
    context.set_origin_flag("checkpoint.metric_for_best_model", "metric_for_best_model");
  }
  if (metric.rfind("eval_", 0) == 0) metric = metric.substr(5);
  if (metric != "loss" && metric != "perplexity") {
    context.refuse_flag("metric_for_best_model",
                        ": got " + shown(metric) + ", expected loss or perplexity");
  }
  if (const std::string* greater = context.flags.find("greater_is_better")) {
    checkpoint.greater_is_better = parse_bool(*greater).value_or(false);
    context.set_origin_flag("checkpoint.greater_is_better", "greater_is_better");
  }
}

/// A checkpoint of the best model has to exist: saves come with evaluations.
void check_best(Context& context) {
  const CheckpointConfig& checkpoint = context.config.checkpoint;
  const bool by_best = checkpoint.save_strategy == SaveStrategy::best;
  if (!by_best && !checkpoint.load_best_model_at_end) return;
  const std::string name = by_best ? "save_strategy" : "load_best_model_at_end";
  const std::string flag = context.flags.written(name) + (by_best ? " best" : "");
  const std::string place = context.flags.place(name);
  const RunConfig& run = context.config.run;
  if (run.eval_strategy == Interval::no) {
    context.problems.add(place, flag + " needs evaluations during training",
                         "Pass --eval_strategy steps or epoch");
    return;
  }
  if (by_best) return;
  const bool same =
      (checkpoint.save_strategy == SaveStrategy::steps && run.eval_strategy == Interval::steps) ||
      (checkpoint.save_strategy == SaveStrategy::epoch && run.eval_strategy == Interval::epoch);
  if (!same) {
    context.problems.add(place, flag + " needs --save_strategy equal to --eval_strategy",
                         "Or pass --save_strategy best");
    return;
  }
  if (checkpoint.save_strategy != SaveStrategy::steps || run.eval_steps <= 0) return;
  const double ratio = checkpoint.save_steps / run.eval_steps;
  if (std::abs(ratio - std::round(ratio)) > 1e-9 || ratio < 0.5) {
    context.problems.add(place, flag + ": --save_steps is no multiple of --eval_steps: got " +
                                    format_real(checkpoint.save_steps) + " and " +
                                    format_real(run.eval_steps));
  }
}

/// DeepSpeed's layout is the optimizer's; its tag is one folder of --output_dir.
void check_format(Context& context) {
  CheckpointConfig& checkpoint = context.config.checkpoint;
  const bool deepspeed = checkpoint.format == CheckpointFormat::deepspeed;
  if (deepspeed && checkpoint.save_only_model) {
    context.refuse_flag("checkpoint_format",
                        " deepspeed contradicts " + context.flags.written("save_only_model"),
                        "Keep one");
  }
  const std::string* text = context.flags.find("checkpoint_tag");
  if (text == nullptr) return;
  const std::string& tag = checkpoint.tag = trimmed(*text);
  context.set_origin_flag("checkpoint.tag", "checkpoint_tag");
  if (!deepspeed) {
    context.refuse_flag("checkpoint_tag", " needs --checkpoint_format deepspeed");
  }
  if (tag.empty() || tag.size() > 100 || tag.front() == '.' || tag.rfind("checkpoint-", 0) == 0 ||
      tag.find_first_of("/\\\n") != std::string::npos) {
    context.refuse_flag("checkpoint_tag", ": got " + shown(tag) +
                                              ", expected a folder's name as step_{step} or final");
  }
}

}  // namespace

void resolve_checkpoint(Context& context) {
  resolve_max_time(context);
  resolve_resume(context);
  resolve_best(context);
  check_best(context);
  check_format(context);
  const double steps = context.config.checkpoint.save_steps;
  if (steps > 1 && std::floor(steps) != steps) {
    context.refuse_flag("save_steps", ": got " + format_real(steps) +
                                          ", expected a whole number or a share below 1");
  }
}

}  // namespace zt::config
