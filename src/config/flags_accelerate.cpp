#include "config/flags_table.h"

namespace zt::config {
namespace {

constexpr const char* kAccelerate = "ZeRO without a file (names of accelerate)";

Flag special(const char* name, FlagType type, const char* values, const char* default_text,
             const char* help) {
  return {name, kAccelerate, FlagUse::applies, type, "", values, default_text, help};
}

Flag accepted(const char* name, FlagType type, const char* quiet, const char* reason) {
  return {name, "Accepted without effect", FlagUse::accepted, type, "", quiet, "", reason};
}

Flag refused(const char* name, FlagType type, const char* quiet, const char* reason) {
  return {name, "Refused", FlagUse::refused, type, "", quiet, "", reason};
}

constexpr const char* kUnits = "units are whole blocks";
constexpr const char* kMachines = "zt launch connects machines";
constexpr const char* kSchedule = "the schedule decides what is gathered ahead";
constexpr const char* kCompiled = "the step is compiled code already";

}  // namespace

/// Names of `accelerate launch` and of its file for what DeepSpeed JSON says.
std::vector<Flag> accelerate_flags() {
  using T = FlagType;
  return {
      special("config_file", T::text, "", "none",
              "accelerate's default_config.yaml: precision, ZeRO or FSDP, ranks"),
      special("mixed_precision", T::text, "no|bf16|fp16", "no", "Same as --bf16 or --fp16"),
      special("num_processes", T::integer, "", "--nproc", "Ranks over all machines"),
      special("num_machines", T::integer, "", "1", "Machines that --num_processes counts"),
      special("use_deepspeed", T::boolean, "", "false", "ZeRO stage 2 unless --zero_stage differs"),
      special("zero_stage", T::text, "", "0", "ZeRO stage, 0 to 3"),
      special("offload_optimizer_device", T::text, "none|cpu|nvme", "none",
              "Where the optimizer states lie"),
      special("offload_param_device", T::text, "none|cpu|nvme", "none",
              "Where the parameter shards lie (stage 3)"),
      special("offload_optimizer_nvme_path", T::text, "", "none",
              "Folder of optimizer states on NVMe"),
      special("offload_param_nvme_path", T::text, "", "none", "Folder of parameters on NVMe"),
      special("zero3_save_16bit_model", T::boolean, "", "false",
              "Gather the weights to save them in 16 bits"),
      special(
          "fsdp", T::list, "", "false",
          "FSDP by name: full_shard, shard_grad_op, no_shard, hybrid_shard, offload, auto_wrap; "
          "alone as full_shard"),
      special("fsdp_config", T::json, "", "none", "Settings of --fsdp: JSON or its path"),
      special("use_fsdp", T::boolean, "", "false", "The --fsdp_* names decide the ZeRO stage"),
      special("fsdp_version", T::text, "1|2", "1", "Which names --fsdp_* have"),
      special("fsdp_sharding_strategy", T::text, "", "FULL_SHARD",
              "FULL_SHARD: stage 3, SHARD_GRAD_OP: stage 2, NO_SHARD: stage 0; HYBRID_SHARD: stage "
              "3 on one machine, refused on more"),
      special("fsdp_reshard_after_forward", T::text, "", "true", "True: stage 3, false: stage 2"),
      special("fsdp_offload_params", T::boolean, "", "false",
              "Parameter shards and optimizer states in host memory"),
      special("fsdp_activation_checkpointing", T::boolean, "", "false",
              "Same as --gradient_checkpointing"),
      special("fsdp_state_dict_type", T::text, "FULL_STATE_DICT|SHARDED_STATE_DICT",
              "SHARDED_STATE_DICT",
              "Noted only: checkpoints are sharded, the output folder has the whole model"),
  };
}

/// Names of accelerate without effect, and such that ask for what is not built.
std::vector<Flag> accelerate_other_flags() {
  using T = FlagType;
  return {
      accepted("zero3_init_flag", T::boolean, "", "every rank reads and keeps its own shard only"),
      accepted("fsdp_auto_wrap_policy", T::text, "transformer_based_wrap", kUnits),
      accepted("fsdp_transformer_layer_cls_to_wrap", T::text, "", kUnits),
      accepted("fsdp_min_num_params", T::integer, "", kUnits),
      accepted("fsdp_backward_prefetch", T::text, "backward_pre", kSchedule),
      accepted("fsdp_forward_prefetch", T::boolean, "false", kSchedule),
      accepted("fsdp_use_orig_params", T::boolean, "true", "parameters keep their names"),
      accepted("fsdp_sync_module_states", T::boolean, "true", "ranks start from the same weights"),
      accepted("fsdp_cpu_ram_efficient_loading", T::boolean, "true",
               "every rank reads its own slice"),
      accepted("multi_gpu", T::boolean, "", "--nproc decides"),
      accepted("machine_rank", T::integer, "0", kMachines),
      accepted("main_process_ip", T::text, "none|", kMachines),
      accepted("main_process_port", T::integer, "none|", kMachines),
      accepted("rdzv_backend", T::text, "static", kMachines),
      accepted("same_network", T::boolean, "true", kMachines),
      accepted("main_training_function", T::text, "main", "the program trains"),
      accepted("enable_cpu_affinity", T::boolean, "false",
               "zt launch --bind_cores_to_rank does it"),
      accepted("num_cpu_threads_per_process", T::integer, "", "OMP_NUM_THREADS decides"),
      accepted("deepspeed_hostfile", T::text, "none|", "zt launch --hostfile reads it"),
      accepted("deepspeed_exclusion_filter", T::text, "none|", "zt launch --exclude reads it"),
      accepted("deepspeed_inclusion_filter", T::text, "none|", "zt launch --include reads it"),
      accepted("deepspeed_multinode_launcher", T::text, "none|standard",
               "zt launch --launcher reads it"),
      accepted("dynamo_backend", T::text, "no", kCompiled),
      accepted("dynamo_mode", T::text, "default", kCompiled),
      accepted("dynamo_use_fullgraph", T::boolean, "false", kCompiled),
      accepted("dynamo_use_dynamic", T::boolean, "false", kCompiled),
      accepted("dynamo_use_regional_compilation", T::boolean, "false", kCompiled),
      accepted("downcast_bf16", T::text, "no|false", "a setting of TPUs"),
      refused("gpu_ids", T::text, "all|none|", "set CUDA_VISIBLE_DEVICES"),
      refused("fsdp_activation_checkpointing_offload", T::boolean, "false", "use --recompute full"),
      refused("fsdp_ignored_modules", T::text, "none|", "every parameter is sharded"),
      refused("deepspeed_moe_layer_cls_names", T::text, "none|", "models of experts are not built"),
      refused("use_megatron_lm", T::boolean, "false", "only data parallelism is built"),
      refused("use_parallelism_config", T::boolean, "false", "only data parallelism is built"),
      refused("tpu", T::boolean, "false", "CPUs and NVIDIA GPUs only"),
  };
}

}  // namespace zt::config
