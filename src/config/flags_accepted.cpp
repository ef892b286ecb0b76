#include "config/flags_table.h"

namespace zt::config {
namespace {

Flag accepted(const char* name, FlagType type, const char* quiet, const char* reason) {
  return {name, "Accepted without effect", FlagUse::accepted, type, "", quiet, "", reason};
}

Flag refused(const char* name, FlagType type, const char* quiet, const char* reason) {
  return {name, "Refused", FlagUse::refused, type, "", quiet, "", reason};
}

/// The flag with Python's default true, so that it has a `--no_` form.
Flag on_by_default(Flag flag) {
  flag.default_text = "true";
  return flag;
}

constexpr const char* kNoHub = "nothing is uploaded or downloaded";
constexpr const char* kLora = "only read by --use_peft True, which is not built yet";

}  // namespace

/// Flags of Hugging Face scripts that need no effect here.
std::vector<Flag> accepted_flags() {
  using T = FlagType;
  return {
      accepted("save_on_each_node", T::boolean, "false", "all ranks write one shared checkpoint"),
      accepted("enable_jit_checkpoint", T::boolean, "false", "SIGTERM always saves a checkpoint"),
      accepted("restore_callback_states_from_checkpoint", T::boolean, "false",
               "there are no callbacks"),
      on_by_default(accepted("log_on_each_node", T::boolean, "", "rank 0 writes the run's log")),
      accepted("run_name", T::text, "", "there is no tracker that would show it"),
      accepted("project", T::text, "", "there is no tracker that would show it"),
      on_by_default(
          accepted("skip_memory_metrics", T::boolean, "true", "memory is in the log already")),
      accepted("include_num_input_tokens_seen", T::text, "", "token counts are in the log already"),
      accepted("dataloader_num_workers", T::integer, "0",
               "batches come from a memory-mapped cache"),
      on_by_default(
          accepted("dataloader_pin_memory", T::boolean, "", "batches are staged in pinned memory")),
      accepted("dataloader_persistent_workers", T::boolean, "false",
               "there are no loader processes"),
      accepted("dataloader_prefetch_factor", T::integer, "", "the loader reads a whole step ahead"),
      on_by_default(
          accepted("dataloader_in_order", T::boolean, "", "the order is fixed by the seed")),
      accepted("dataloader_multiprocessing_context", T::text, "", "there are no loader processes"),
      on_by_default(accepted("remove_unused_columns", T::boolean, "", "only the text is read")),
      accepted("label_names", T::list, "", "labels are the input tokens"),
      accepted("length_column_name", T::text, "", "lengths are counted"),
      accepted("prediction_loss_only", T::boolean, "", "evaluation returns the loss only"),
      accepted("eval_accumulation_steps", T::integer, "", "evaluation keeps no logits"),
      on_by_default(
          accepted("eval_do_concat_batches", T::boolean, "", "evaluation keeps no logits")),
      accepted("eval_use_gather_object", T::boolean, "false", "evaluation returns the loss only"),
      accepted("batch_eval_metrics", T::boolean, "false", "evaluation returns the loss only"),
      accepted("include_for_metrics", T::list, "", "evaluation returns the loss only"),
      accepted("include_tokens_per_second", T::boolean, "", "tokens per second are in the log"),
      accepted("ddp_static_graph", T::tristate, "", "the step is fixed before it starts"),
      accepted("ddp_find_unused_parameters", T::tristate, "", "every parameter gets a gradient"),
      accepted("ddp_broadcast_buffers", T::tristate, "", "models have no mutable buffers"),
      accepted("ddp_bucket_cap_mb", T::integer, "", "reduce_bucket_size decides"),
      accepted("ddp_backend", T::text, "", "the device decides: NCCL on GPUs, Gloo on CPUs"),
      accepted("local_rank", T::integer, "-1", "the LOCAL_RANK variable decides"),
      accepted("gradient_checkpointing_kwargs", T::json, "", "recompute needs no options"),
      accepted("tf32", T::tristate, "false|none", "fp32 matrix products stay fp32"),
      accepted("bf16_full_eval", T::boolean, "false", "evaluation runs in the training precision"),
      accepted("fp16_full_eval", T::boolean, "false", "evaluation runs in the training precision"),
      accepted("torch_compile", T::boolean, "false", "the step is compiled code already"),
      accepted("torch_compile_backend", T::text, "", "the step is compiled code already"),
      accepted("torch_compile_mode", T::text, "", "the step is compiled code already"),
      accepted("use_liger_kernel", T::boolean, "false", "fused kernels are always used"),
      accepted("liger_kernel_config", T::json, "", "fused kernels are always used"),
      accepted("optim_target_modules", T::list, "", "AdamW updates every parameter"),
      accepted("torch_empty_cache_steps", T::integer, "",
               "memory is planned before the first step"),
      accepted("use_cache", T::boolean, "", "training keeps no key-value cache"),
      accepted("torch_dtype", T::text, "auto|float32|none",
               "master weights are fp32, --bf16 and --fp16 decide the compute precision"),
      accepted("device_map", T::text, "auto|none|", "ranks and --deepspeed decide the placement"),
      on_by_default(accepted("trust_remote_code", T::boolean, "", "Python code is never run")),
      accepted("use_fast_tokenizer", T::boolean, "", "there is one tokenizer"),
      accepted("attn_implementation", T::text, "", "every device has its own fused attention"),
      accepted("low_cpu_mem_usage", T::boolean, "", "every rank reads its own slice"),
      accepted("token", T::text, "", kNoHub),
      accepted("use_auth_token", T::tristate, "", kNoHub),
      accepted("hf_hub_token", T::text, "", kNoHub),
      accepted("hub_model_id", T::text, "", kNoHub),
      accepted("hub_strategy", T::text, "", kNoHub),
      accepted("hub_token", T::text, "", kNoHub),
      accepted("hub_private_repo", T::tristate, "", kNoHub),
      accepted("hub_always_push", T::boolean, "", kNoHub),
      accepted("hub_revision", T::text, "", kNoHub),
      accepted("trackio_space_id", T::text, "", kNoHub),
      accepted("trackio_static_space_id", T::text, "", kNoHub),
      accepted("trackio_bucket_id", T::text, "", kNoHub),
      accepted("target_modules", T::text, "", kLora),
      accepted("lora_rank", T::integer, "", kLora),
      accepted("lora_dropout", T::real, "", kLora),
      accepted("lora_alpha", T::real, "", kLora),
      accepted("modules_to_save", T::text, "", kLora),
  };
}

/// Flags that ask for something this release does not have.
std::vector<Flag> refused_flags() {
  using T = FlagType;
  return {
      refused("use_peft", T::boolean, "false", "all weights are trained"),
      refused("qlora", T::boolean, "false", "all weights are trained"),
      refused("peft_path", T::text, "none|", "all weights are trained"),
      refused("load_in_8bit", T::boolean, "false", "weights are not quantized"),
      refused("load_in_4bit", T::boolean, "false", "weights are not quantized"),
      refused("dataset_name", T::text, "none|", "use --train_file_dir"),
      refused("dataset_config_name", T::text, "none|", "use --train_file_dir"),
      refused("streaming", T::boolean, "false", "leave it out: data is memory-mapped"),
      refused("model_revision", T::text, "main", "put that revision into the model folder"),
      refused("ignore_data_skip", T::boolean, "false", "a resumed run goes on where its data was"),
      on_by_default(
          refused("save_safetensors", T::boolean, "true", "models are always safetensors")),
      refused("push_to_hub", T::boolean, "false", "nothing is uploaded"),
      refused("do_predict", T::boolean, "false", "use zt run --task predict"),
      refused("eval_on_start", T::boolean, "false", "use --eval_strategy steps"),
      refused("eval_delay", T::real, "0", "evaluations start at --eval_steps"),
      refused("auto_find_batch_size", T::boolean, "false", "run zt plan to see what fits"),
      refused("half_precision_backend", T::text, "auto", "Apex is not built, leave it out"),
      refused("fp16_backend", T::text, "auto", "Apex is not built, leave it out"),
      refused("fp16_opt_level", T::text, "o1", "Apex is not built, leave it out"),
      refused("optim_args", T::text, "none|", "use the --adam_* flags"),
      refused("label_smoothing_factor", T::real, "0", "leave it at 0"),
      refused("neftune_noise_alpha", T::real, "none", "leave it out"),
      on_by_default(refused("average_tokens_across_devices", T::boolean, "true",
                            "the loss is always averaged over the tokens of all ranks")),
      refused("accelerator_config", T::json, "none|{}", "leave it out"),
      refused("parallelism_config", T::json, "none|{}", "only data parallelism is built"),
      refused("debug", T::text, "none|", "leave it out"),
  };
}

}  // namespace zt::config
