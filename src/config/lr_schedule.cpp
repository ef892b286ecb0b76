#include <cmath>

#include "config/fields.h"
#include "config/json_reader.h"
#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

/// What a DeepSpeed scheduler reads, as `|`-separated names.
struct Scheduler {
  const char* type;
  ScheduleKind kind;
  const char* parameters;
};

constexpr Scheduler kSchedulers[] = {
    {"WarmupLR", ScheduleKind::ds_warmup,
     "warmup_min_lr|warmup_max_lr|warmup_num_steps|warmup_type|last_batch_iteration"},
    {"WarmupDecayLR", ScheduleKind::ds_warmup_decay,
     "warmup_min_lr|warmup_max_lr|warmup_num_steps|warmup_type|total_num_steps|last_batch_"
     "iteration"},
    {"WarmupCosineLR", ScheduleKind::ds_warmup_cosine,
     "warmup_min_ratio|cos_min_ratio|warmup_num_steps|warmup_type|total_num_steps|"
     "last_batch_iteration"}};

const Scheduler* find_scheduler(const std::string& type) {
  for (const Scheduler& scheduler : kSchedulers) {
    if (type == scheduler.type) return &scheduler;
  }
  return nullptr;
}

void apply_parameters(const Scheduler& scheduler, Context& context) {
  const std::string prefix = "scheduler.params.";
  for (const DsKey& key : ds_keys()) {
    const DsEntry* entry = context.entry(key.path);
    if (entry == nullptr || key.path.rfind(prefix, 0) != 0) continue;
    if (is_listed(key.path.substr(prefix.size()), scheduler.parameters)) {
      apply_ds_key(key, context);
    } else {
      context.notice(entry->written + ": no effect, " + scheduler.type + " does not read it (" +
                     context.document->place(*entry) + ")");
    }
  }
}

/// The warm-up of a file that leaves it out: an explicit flag, else DeepSpeed's default.
void fill_warmup(Context& context) {
  const std::string key = "scheduler.params.warmup_num_steps";
  const std::string in_file = " (" + context.document->name() + ")";
  const bool is_given = context.entry(key) != nullptr;
  const bool is_number = is_given && !context.document->is_auto(key);
  for (const char* flag : {"warmup_steps", "warmup_ratio"}) {
    if (context.flags.find(flag) == nullptr || (is_given && !is_number)) continue;
    if (!is_given) {
      context.notice(context.flags.written(flag) + " fills " + key + ", which the file leaves out" +
                     in_file);
      return;
    }
    if (flag == std::string("warmup_ratio")) {
      context.notice(context.flags.written(flag) + ": no effect, " + key + " is given" + in_file);
    }
  }
  if (is_given) return;
  context.config.lr_schedule.warmup_num_steps = 1000;
  context.set_origin("lr_schedule.warmup_num_steps", key, "default of DeepSpeed");
}

/// The peak of a WarmupDecayLR that leaves it out. DeepSpeed takes 1e-3, whatever the optimizer's
/// learning rate is.
void fill_peak(Context& context) {
  const std::string key = "scheduler.params.warmup_max_lr";
  if (context.entry(key) != nullptr) return;
  const std::string in_file = " (" + context.document->name() + ")";
  if (context.flags.find("learning_rate") != nullptr) {
    context.notice(context.flags.written("learning_rate") + " fills " + key +
                   ", which the file leaves out" + in_file);
    return;
  }
  context.config.lr_schedule.warmup_max_lr = 1e-3;
  context.set_origin("lr_schedule.warmup_max_lr", key, "default of DeepSpeed");
  context.notice(key + ": DeepSpeed's default 0.001 is used, as the key is absent" + in_file);
}

void fill_scheduler_defaults(const Scheduler& scheduler, Context& context) {
  fill_warmup(context);
  if (scheduler.kind == ScheduleKind::ds_warmup_decay) fill_peak(context);
  if (scheduler.kind != ScheduleKind::ds_warmup &&
      context.entry("scheduler.params.total_num_steps") == nullptr) {
    const DsEntry* type = context.entry("scheduler.type");
    context.problems.add(context.document->place(*type),
                         "scheduler.params.total_num_steps is missing: " +
                             std::string(scheduler.type) + " requires it",
                         "Write a number or \"auto\"");
  }
}

void apply_warmup_type(Context& context) {
  const DsEntry* type = context.entry("scheduler.params.warmup_type");
  if (type == nullptr) return;
  const std::string& text = type->value->text;
  if (text != "log" && text != "linear") {
    context.problems.add(
        context.document->place(*type),
        type->written + ": got " + describe_value(*type->value) + ", expected log or linear");
    return;
  }
  context.config.lr_schedule.warmup_log = text == "log";
  context.set_origin("lr_schedule.warmup_log", *type);
}

void apply_scheduler_section(Context& context) {
  const DsEntry* section = context.entry("scheduler");
  const DsEntry* type = context.entry("scheduler.type");
  if (type == nullptr) {
    context.problems.add(
        context.document->place(*section),
        "scheduler.type is missing, expected WarmupLR, WarmupDecayLR or WarmupCosineLR");
    return;
  }
  const Scheduler* scheduler = find_scheduler(type->value->text);
  if (scheduler == nullptr) {
    context.problems.add(
        context.document->place(*type),
        type->written + ": " + describe_value(*type->value) +
            " is not built yet, expected WarmupLR, WarmupDecayLR or WarmupCosineLR");
    return;
  }
  context.config.lr_schedule.kind = scheduler->kind;
  context.set_origin("lr_schedule.kind", *type);
  apply_parameters(*scheduler, context);
  apply_warmup_type(context);
  fill_scheduler_defaults(*scheduler, context);
  for (const char* flag : {"lr_scheduler_type", "lr_scheduler_kwargs"}) {
    if (context.flags.find(flag) != nullptr) {
      context.notice(context.flags.written(flag) + ": no effect, scheduler.type decides (" +
                     context.document->place(*type) + ")");
    }
  }
}

void apply_scheduler_kwargs(Context& context) {
  const std::string* text = context.flags.find("lr_scheduler_kwargs");
  if (text == nullptr || text->empty() || lower_case(*text) == "none") return;
  Value root;
  try {
    root = read_json(*text, context.flags.written("lr_scheduler_kwargs"));
  } catch (const JsonError& error) {
    context.problems.add(error.problems());
    return;
  }
  for (const Member& member : root.members) {
    if (member.key != "num_cycles") {
      context.refuse_flag("lr_scheduler_kwargs",
                          ": '" + shown(member.key) + "' is not built yet, expected num_cycles");
      continue;
    }
    const std::string expected =
        set_field(context.config, field_at("lr_schedule.num_cycles"), member.value.text);
    if (!expected.empty()) {
      context.refuse_flag(
          "lr_scheduler_kwargs",
          ": num_cycles: got " + describe_value(member.value) + ", expected " + expected);
    }
    context.set_origin_flag("lr_schedule.num_cycles", "lr_scheduler_kwargs");
  }
  if (!root.is(Value::Kind::object)) {
    context.refuse_flag("lr_scheduler_kwargs", ": expected an object");
  }
}

void apply_warmup_flags(Context& context) {
  LrScheduleConfig& schedule = context.config.lr_schedule;
  const std::string* ratio = context.flags.find("warmup_ratio");
  if (ratio != nullptr && lower_case(*ratio) != "none" && parse_real(*ratio)) {
    const double share = *parse_real(*ratio);
    if (share < 0 || share >= 1) {
      context.refuse_flag("warmup_ratio",
                          ": got " + shown(*ratio) + ", expected a number >= 0 and < 1");
    } else if (schedule.warmup_steps > 0) {
      context.notice(context.flags.written("warmup_ratio") + ": no effect, " +
                     context.flags.written("warmup_steps") + " is given (" +
                     context.flags.place("warmup_ratio") + ")");
    } else {
      schedule.warmup_steps = share;
      context.set_origin_flag("lr_schedule.warmup_steps", "warmup_ratio");
    }
  }
  if (schedule.warmup_steps >= 1 && std::floor(schedule.warmup_steps) != schedule.warmup_steps) {
    context.refuse_flag("warmup_steps", ": got " + format_real(schedule.warmup_steps) +
                                            ", expected a whole number or a share below 1");
  }
}

}  // namespace

void resolve_schedule(Context& context) {
  apply_warmup_flags(context);
  if (context.entry("scheduler") != nullptr) {
    apply_scheduler_section(context);
    return;
  }
  const std::string* type = context.flags.find("lr_scheduler_type");
  if (type != nullptr) {
    // A name that is not listed was reported with the other flags.
    if (set_field(context.config, field_at("lr_schedule.kind"), lower_case(*type)).empty()) {
      context.set_origin_flag("lr_schedule.kind", "lr_scheduler_type");
    }
  } else if (!context.has_flags) {
    context.config.lr_schedule.kind = ScheduleKind::constant;
    context.set_origin("lr_schedule.kind", "scheduler", "no section");
  }
  apply_scheduler_kwargs(context);
}

}  // namespace zt::config
