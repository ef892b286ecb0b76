#include "plan/plan_flags.h"

#include <algorithm>

#include "config/problems.h"
#include "config/text_values.h"
#include "zero/residency.h"

namespace zt::plan {
namespace {

constexpr const char* kCommandLine = "command line";

/// Takes one flag with its value, if it is one of ours.
class Splitter {
 public:
  explicit Splitter(const std::vector<std::string>& args) : args_(args) {}

  PlanFlags split() {
    while (at_ < args_.size()) {
      const auto& arg = args_[at_++];
      const auto equals = arg.find('=');
      auto name = arg.substr(0, equals);
      std::replace(name.begin() + std::min<std::ptrdiff_t>(2, std::ssize(name)), name.end(), '-',
                   '_');
      given_ = equals == std::string::npos ? std::nullopt
                                           : std::optional<std::string>(arg.substr(equals + 1));
      if (!take(name)) flags_.rest.push_back(arg);
    }
    problems_.throw_if_any();
    return flags_;
  }

 private:
  bool take(const std::string& name) {
    if (name == "--model" || name == "--model_name_or_path")
      flags_.model = value(name);
    else if (name == "--output")
      flags_.output = value(name);
    else if (name == "--device_file")
      flags_.device_file = value(name);
    else if (name == "--overwrite")
      flags_.overwrite = boolean(name);
    else if (name == "--schedule")
      flags_.schedule = boolean(name);
    else if (name == "--details")
      flags_.details = boolean(name);
    else if (name == "--tables")
      flags_.tables = boolean(name);
    else if (name == "--help" || name == "-h")
      flags_.help = true;
    else if (name == "--zero_stage")
      take_stage(name);
    else if (name == "--host_memory")
      take_host_memory(name);
    else
      return false;
    return true;
  }

  [[nodiscard]] bool next_is_value() const {
    return at_ < args_.size() && args_[at_].rfind("--", 0) != 0;
  }

  std::string value(const std::string& name) {
    std::string text;
    if (given_)
      text = *given_;
    else if (next_is_value())
      text = args_[at_++];
    if (text.empty()) problems_.add(kCommandLine, name + " has no value. Give one");
    return text;
  }

  bool boolean(const std::string& name) {
    if (!given_ && !next_is_value()) return true;
    const auto text = value(name);
    const auto parsed = config::parse_bool(text);
    if (!parsed) {
      problems_.add(kCommandLine,
                    name + ": got '" + config::shown(text) + "', expected true or false");
    }
    return parsed.value_or(false);
  }

  void take_stage(const std::string& name) {
    const auto text = value(name);
    if (text.empty()) return;
    const auto stage = config::parse_integer(text);
    config::ZeroConfig zero;
    try {
      zero.stage = stage ? checked_narrow<int>(*stage) : -1;
      static_cast<void>(zero::residency(zero));
      flags_.zero_stage = zero.stage;
    } catch (const Error&) {
      problems_.add(kCommandLine,
                    name + ": got '" + config::shown(text) + "', expected 0, 1, 2 or 3");
    }
  }

  void take_host_memory(const std::string& name) {
    const auto text = value(name);
    if (text.empty()) return;
    try {
      flags_.host_memory = parse_bytes(text, name);
    } catch (const ConfigError&) {
      problems_.add(kCommandLine, name + ": got '" + config::shown(text) +
                                      "', expected a size as 256GB or 256GiB");
    }
  }

  const std::vector<std::string>& args_;
  std::size_t at_ = 0;
  std::optional<std::string> given_;  ///< the part behind `=`
  PlanFlags flags_;
  config::Problems problems_{"plan.flags"};
};

}  // namespace

PlanFlags parse_plan_flags(const std::vector<std::string>& args) { return Splitter(args).split(); }

std::string plan_flags_help() {
  return "usage: zt plan --model FOLDER|SHAPE --nproc N --gpu_memory 24GB [flags of zt train]\n"
         "\n"
         "Prints what each ZeRO stage, offload and recompute mode needs and marks the one to "
         "take.\n"
         "\n"
         "  --model FOLDER|SHAPE  folder with config.json, or a shape as Qwen3-0.6B\n"
         "  --host_memory SIZE    host memory of the machine, shared by its --nproc ranks\n"
         "  --zero_stage N        consider this stage only\n"
         "  --device_file FILE    also steps/s and tokens/s, from what zt bench --calibrate "
         "measured\n"
         "  --details             kinds of memory of the marked row at its peak\n"
         "  --schedule            operations of the marked row\n"
         "  --tables              the classic arithmetic beside the plan; advice by model size "
         "with\n"
         "                        --gpu_memory; needs no --model\n"
         "  --output FILE         write its DeepSpeed JSON\n"
         "  --overwrite           replace FILE\n"
         "\n"
         "Of the flags of zt train these matter: --nproc, --gpu_memory, --use_cpu, --block_size,\n"
         "--per_device_train_batch_size, --gradient_accumulation_steps, --bf16, --document_mask,\n"
         "--deepspeed (bucket sizes and limits; without it the planner's), --recompute, "
         "--reduce_at,\n"
         "--retain, --coalesce, --reduce.\n";
}

}  // namespace zt::plan
