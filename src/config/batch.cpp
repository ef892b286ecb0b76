#include <limits>

#include "config/resolve_parts.h"
#include "config/text_values.h"

namespace zt::config {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 24;
constexpr const char* kTotal = "train_batch_size";
constexpr const char* kMicro = "train_micro_batch_size_per_gpu";
constexpr const char* kSteps = "gradient_accumulation_steps";

/// One number of the triple: its value if known, and who gave it.
struct Part {
  std::optional<std::int64_t> value;
  std::string key, place;
};

/// A number of the document; `"auto"` counts as absent where flags can fill it.
Part from_document(Context& context, const char* path) {
  Part part{std::nullopt, path, ""};
  const DsEntry* entry = context.entry(path);
  if (entry == nullptr) return part;
  part.place = context.document->place(*entry);
  if (entry->value->is_auto()) {
    if (!context.has_flags) {
      context.problems.add(part.place, entry->written + ": \"auto\" is not filled by anything here",
                           "Give a value");
    }
    return part;
  }
  part.value = parse_integer(entry->value->text);
  if (!part.value || *part.value < 1 || *part.value > kMost) {
    context.problems.add(part.place, entry->written + ": got " + describe_value(*entry->value) +
                                         ", expected a whole number >= 1 and <= 16777216");
    part.value.reset();
  }
  return part;
}

/// Adds what the flag says; a contradiction is reported and the document's number stays.
void merge_flag(Context& context, Part& part, const char* flag, std::int64_t flag_value) {
  const std::string* given = context.flags.find(flag);
  if (given == nullptr || !parse_integer(*given)) return;
  const DsEntry* entry = context.entry(part.key);
  if (part.value && *part.value != flag_value) {
    context.contradiction(flag, *given, *entry, std::to_string(*part.value));
  }
  if (!part.value) part = {flag_value, context.flags.written(flag), context.flags.place(flag)};
}

std::string shown_part(const Part& part) {
  return part.key + " " + std::to_string(part.value.value_or(0));
}

void check_product(Context& context, const Part& total, const Part& micro, const Part& steps,
                   std::int64_t world) {
  const std::int64_t product = *micro.value * *steps.value * world;
  if (*total.value == product) return;
  context.problems.add(total.place, std::string(kTotal) + ": got " + std::to_string(*total.value) +
                                        ", expected " + kMicro + " * " + kSteps +
                                        " * ranks = " + std::to_string(*micro.value) + " * " +
                                        std::to_string(*steps.value) + " * " +
                                        std::to_string(world) + " = " + std::to_string(product) +
                                        " from " + shown_part(micro) + " and " + shown_part(steps));
}

/// Derives what is missing from the total, as DeepSpeed does.
void derive_from_total(const Part& total, Part& micro, Part& steps, std::int64_t world) {
  const auto derived = [&](const char* key, std::int64_t value) {
    return Part{value, std::string("derived ") + key, total.place};
  };
  if (micro.value && !steps.value) {
    steps = derived(kSteps, *total.value / *micro.value / world);
  } else if (!micro.value && steps.value) {
    micro = derived(kMicro, *total.value / world / *steps.value);
  } else if (!micro.value) {
    steps = derived(kSteps, 1);
    micro = derived(kMicro, *total.value / world);
  }
}

bool check_data_parallel_size(Context& context, std::optional<std::int64_t> world) {
  const DsEntry* entry = context.entry("data_parallel_size");
  if (entry == nullptr || !world) return true;
  if (parse_integer(entry->value->text) == world) return true;
  context.problems.add(context.document->place(*entry),
                       entry->written + ": got " + describe_value(*entry->value) + ", expected " +
                           std::to_string(*world) + ", the number of ranks");
  return false;
}

void store(Context& context, const Part& micro, const Part& steps) {
  RunConfig& run = context.config.run;
  if (micro.value) {
    run.per_device_train_batch_size = *micro.value;
    context.set_origin("run.per_device_train_batch_size", micro.key, micro.place);
  }
  if (steps.value) {
    run.gradient_accumulation_steps = *steps.value;
    context.set_origin("run.gradient_accumulation_steps", steps.key, steps.place);
  }
}

}  // namespace

std::optional<std::int64_t> world_size(const Context& context) {
  if (context.facts.world_size) return context.facts.world_size;
  if (context.config.launch.nproc > 0) return context.config.launch.nproc;
  return std::nullopt;
}

void resolve_batch(Context& context) {
  if (context.document == nullptr) return;
  const std::optional<std::int64_t> world = world_size(context);
  check_data_parallel_size(context, world);
  const std::size_t before = context.problems.all().size();
  const Part total = from_document(context, kTotal);
  Part micro = from_document(context, kMicro);
  Part steps = from_document(context, kSteps);
  const RunConfig flags = context.config.run;
  merge_flag(context, micro, "per_device_train_batch_size", flags.per_device_train_batch_size);
  merge_flag(context, steps, "gradient_accumulation_steps", flags.gradient_accumulation_steps);
  if (context.problems.all().size() != before) return;
  if (context.has_flags) {  // "auto", or no word about the batch: the flags' defaults count
    if (!micro.value && (context.document->is_auto(kMicro) || !total.value)) {
      micro = {flags.per_device_train_batch_size, "--per_device_train_batch_size", "default"};
    }
    if (!steps.value && (context.document->is_auto(kSteps) || !total.value)) {
      steps = {flags.gradient_accumulation_steps, "--gradient_accumulation_steps", "default"};
    }
  } else if (!total.value && !micro.value) {
    context.problems.add(context.document->name(),
                         "neither train_batch_size nor train_micro_batch_size_per_gpu is given",
                         "Give one");
    return;
  } else if (!steps.value && !total.value) {
    steps = {1, kSteps, "default"};
  }
  if (total.value && !world) {
    if (micro.value && steps.value) {
      store(context, micro, steps);
    }
    context.config.unresolved.push_back("run.per_device_train_batch_size (needs world_size)");
    return;
  }
  if (total.value) {
    derive_from_total(total, micro, steps, *world);
    check_product(context, total, micro, steps, *world);
  }
  store(context, micro, steps);
}

}  // namespace zt::config
