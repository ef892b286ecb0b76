#include "config/text_values.h"
#include "config/tools.h"

namespace zt::config {
namespace {

using Choices = std::vector<std::string>;

/// Collects answers; one function per group of accelerate's questions.
class Questionnaire {
 public:
  explicit Questionnaire(const Answer& answer) : answer_(answer) {}

  std::string run() {
    line("compute_environment", "LOCAL_MACHINE");
    const std::string machine =
        ask("Which type of machine are you using",
            {"multi-GPU", "multi-CPU", "No distributed training"}, "multi-GPU");
    const bool on_cpu = machine == "multi-CPU";
    const std::string machines =
        machine == "No distributed training" ? "1" : ask("How many machines", {}, "1");
    const bool zero =
        machine != "No distributed training" && yes("Do you want to use DeepSpeed (ZeRO)", "yes");
    const bool fsdp = machine == "multi-GPU" && !zero && yes("Do you want to use FSDP", "no");
    line("debug", "false");
    if (zero) ask_zero();
    line("distributed_type", zero                     ? "DEEPSPEED"
                             : fsdp                   ? "FSDP"
                             : on_cpu                 ? "MULTI_CPU"
                             : machine == "multi-GPU" ? "MULTI_GPU"
                                                      : "'NO'");
    line("downcast_bf16", "'no'");
    if (fsdp) ask_fsdp();
    line("machine_rank", machines == "1" ? "0" : ask("What is the rank of this machine", {}, "0"));
    if (machines != "1") {
      line("main_process_ip", ask("IP address of the machine of rank 0", {}, "127.0.0.1"));
      line("main_process_port", ask("Port of the machine of rank 0", {}, "29500"));
    }
    line("main_training_function", "main");
    line("mixed_precision", quoted(ask("Do you wish to use mixed precision", {"no", "fp16", "bf16"},
                                       on_cpu ? "no" : "bf16")));
    line("num_machines", machines);
    line("num_processes", machine == "No distributed training"
                              ? "1"
                              : ask("How many processes in total over all machines", {}, "1"));
    line("rdzv_backend", "static");
    line("same_network", "true");
    line("use_cpu", on_cpu ? "true" : "false");
    return text_;
  }

 private:
  std::string ask(const std::string& question, const Choices& choices,
                  const std::string& default_answer) {
    const std::string given = trimmed(answer_(question, choices, default_answer));
    if (given.empty()) return default_answer;
    if (choices.empty()) return given;
    for (const std::string& choice : choices) {
      if (lower_case(choice) == lower_case(given)) return choice;
    }
    const auto number = parse_integer(given);
    const auto size = static_cast<std::int64_t>(choices.size());
    if (number && *number >= 0 && *number < size) {
      return choices[static_cast<std::size_t>(*number)];
    }
    throw ConfigError("[config.init] " + question + ": got '" + shown(given) +
                      "' (answer), expected one of the choices. Start again.");
  }
  bool yes(const std::string& question, const std::string& default_answer) {
    return ask(question, {"yes", "no"}, default_answer) == "yes";
  }
  void line(const std::string& key, const std::string& value) {
    text_ += key + ": " + value + "\n";
  }
  /// YAML would read `no` as false.
  static std::string quoted(const std::string& text) { return text == "no" ? "'no'" : text; }

  void ask_zero() {
    text_ += "deepspeed_config:\n";
    if (yes("Do you want to specify a DeepSpeed JSON file", "no")) {
      line("  deepspeed_config_file", ask("Path of the JSON file", {}, "ds_config.json"));
      return;
    }
    const std::string stage = ask("ZeRO stage", {"0", "1", "2", "3"}, "2");
    line("  zero_stage", stage);
    if (stage != "0") {
      line("  offload_optimizer_device",
           ask("Where to offload optimizer states", {"none", "cpu", "nvme"}, "none"));
    }
    if (stage == "3") {
      line("  offload_param_device",
           ask("Where to offload parameters", {"none", "cpu", "nvme"}, "none"));
      line("  zero3_save_16bit_model",
           yes("Save 16-bit weights with ZeRO stage 3", "no") ? "true" : "false");
      line("  zero3_init_flag", "true");
    }
    line("  gradient_accumulation_steps", ask("Gradient accumulation steps", {}, "1"));
    if (yes("Do you want to use gradient clipping", "no")) {
      line("  gradient_clipping", ask("Gradient clipping value", {}, "1.0"));
    }
  }

  void ask_fsdp() {
    text_ += "fsdp_config:\n";
    line("  fsdp_version", "1");
    line("  fsdp_sharding_strategy",
         ask("FSDP sharding strategy",
             {"FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2"},
             "FULL_SHARD"));
    line("  fsdp_offload_params",
         yes("Offload parameters and gradients to CPU", "no") ? "true" : "false");
    line("  fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP");
    line("  fsdp_state_dict_type",
         ask("State dict type", {"FULL_STATE_DICT", "SHARDED_STATE_DICT"}, "SHARDED_STATE_DICT"));
    line("  fsdp_activation_checkpointing",
         yes("Use activation checkpointing", "no") ? "true" : "false");
  }

  const Answer& answer_;
  std::string text_;
};

}  // namespace

std::string ask_configuration(const Answer& answer) { return Questionnaire(answer).run(); }

}  // namespace zt::config
