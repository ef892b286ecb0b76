#include "plan/plan_flags.h"

#include <algorithm>

#include "config/flag_splitter.h"
#include "config/text_values.h"
#include "zero/residency.h"

namespace zt::plan {
namespace {

constexpr const char* kCommandLine = "command line";

void take_stage(config::FlagSplitter& splitter, PlanFlags& flags, config::Problems& problems) {
  const std::string name = splitter.name();
  const auto text = splitter.value();
  if (text.empty()) return;
  const auto stage = config::parse_integer(text);
  config::ZeroConfig zero;
  try {
    zero.stage = stage ? checked_narrow<int>(*stage) : -1;
    static_cast<void>(zero::residency(zero));
    flags.zero_stage = zero.stage;
  } catch (const Error&) {
    problems.add(kCommandLine, name + ": got '" + config::shown(text) + "', expected 0, 1, 2 or 3");
  }
}

void take_nodes(config::FlagSplitter& splitter, PlanFlags& flags, config::Problems& problems) {
  const std::string name = splitter.name();
  const auto text = splitter.value();
  if (text.empty()) return;
  const auto nodes = config::parse_integer(text);
  constexpr int kMost = 100'000;
  if (nodes && *nodes >= 1 && *nodes <= kMost) {
    flags.num_nodes = static_cast<int>(*nodes);
  } else {
    problems.add(kCommandLine,
                 name + ": got '" + config::shown(text) + "', expected a number of machines");
  }
}

/// Offload by flags (`--offload_optimizer_device cpu`) is checked against the stage.
void take_stage_for_offload(PlanFlags& flags) {
  const bool offloads = std::any_of(flags.rest.begin(), flags.rest.end(), [](const auto& word) {
    return word.rfind("--offload_", 0) == 0;
  });
  if (offloads && flags.zero_stage) {
    flags.rest.push_back("--zero_stage=" + std::to_string(*flags.zero_stage));
  }
}

/// Takes one flag with its value, if it is one of ours.
bool take(config::FlagSplitter& splitter, PlanFlags& flags, config::Problems& problems) {
  const std::string name = splitter.name();
  if (name == "--model" || name == "--model_name_or_path")
    flags.model = splitter.value();
  else if (name == "--output")
    flags.output = splitter.value();
  else if (name == "--device_file")
    flags.device_file = splitter.value();
  else if (name == "--device")
    flags.device = splitter.value();
  else if (name == "--overwrite")
    flags.overwrite = splitter.boolean();
  else if (name == "--schedule")
    flags.schedule = splitter.boolean();
  else if (name == "--details")
    flags.details = splitter.boolean();
  else if (name == "--tables")
    flags.tables = splitter.boolean();
  else if (name == "--help" || name == "-h")
    flags.help = true;
  else if (name == "--zero_stage")
    take_stage(splitter, flags, problems);
  else if (name == "--num_nodes" || name == "--nnodes")
    take_nodes(splitter, flags, problems);
  else
    return false;
  return true;
}

}  // namespace

PlanFlags parse_plan_flags(const std::vector<std::string>& args) {
  PlanFlags flags;
  config::Problems problems("plan.flags");
  config::FlagSplitter splitter(args, problems);
  while (splitter.next()) {
    if (!take(splitter, flags, problems)) flags.rest.push_back(splitter.argument());
  }
  if (!flags.output.empty() && flags.model.empty()) {
    problems.add(kCommandLine, "--output: there is nothing to write without --model");
  }
  problems.throw_if_any();
  take_stage_for_offload(flags);
  return flags;
}

std::string plan_flags_help() {
  return "usage: zt plan --model FOLDER|SHAPE --nproc N --gpu_memory 24GB [flags of zt train]\n"
         "\n"
         "Prints what each ZeRO stage, offload and recompute mode needs, the best setting of "
         "each way\n"
         "of offload (none, a ratio, cpu, nvme; parameters too) with its predicted time, and the "
         "one to take.\n"
         "\n"
         "  --model FOLDER|SHAPE  folder with config.json, or a shape as Qwen3-0.6B\n"
         "  --num_nodes N         machines that the --nproc ranks are spread over (default: 1)\n"
         "  --host_memory SIZE    host memory of a machine, shared by its ranks\n"
         "  --zero_stage N        consider this stage only\n"
         "  --device NAME         this GPU's data sheet: its memory, where --gpu_memory gives no "
         "other, and times\n"
         "                        (default: times of one with as much memory)\n"
         "  --device_file FILE    predict times from what zt bench --calibrate measured\n"
         "  --details             kinds of memory of the marked row at its peak\n"
         "  --schedule            operations of the marked row as zt train runs it\n"
         "  --tables              the classic arithmetic beside the plan; advice by model size "
         "with\n"
         "                        --gpu_memory; needs no --model\n"
         "  --output FILE         write its DeepSpeed JSON: that of --deepspeed with what the plan "
         "chose\n"
         "  --overwrite           replace FILE\n"
         "\n"
         "Of the flags of zt train these matter: --nproc, --gpu_memory, --use_cpu, --block_size,\n"
         "--per_device_train_batch_size, --gradient_accumulation_steps, --bf16, --document_mask,\n"
         "--deepspeed (bucket sizes and limits; without it the planner's), --recompute, "
         "--reduce_at,\n"
         "--retain, --coalesce, --reduce.\n";
}

}  // namespace zt::plan
