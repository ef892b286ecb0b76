#include "config/ds_schema.h"

namespace zt::config {
namespace {

DsKey effect(const char* path, KeyType type, const char* field, const char* flag,
             const char* note) {
  return {path, type, KeyUse::effect, field, flag, "", note};
}
DsKey notice(const char* path, KeyType type, const char* quiet, const char* note) {
  return {path, type, KeyUse::notice, "", "", quiet, note};
}
DsKey refused(const char* path, KeyType type, const char* quiet, const char* note) {
  return {path, type, KeyUse::refused, "", "", quiet, note};
}

}  // namespace

/// Top level, optimizer, scheduler and precision.
std::vector<DsKey> ds_core_keys() {
  using T = KeyType;
  constexpr const char* kTimes = "step times are in the log already";
  return {
      effect("train_batch_size", T::integer, "", "", "samples per optimizer step over all ranks"),
      effect("train_micro_batch_size_per_gpu", T::integer, "", "per_device_train_batch_size",
             "samples per rank and micro-step"),
      effect("gradient_accumulation_steps", T::integer, "", "gradient_accumulation_steps",
             "micro-steps per optimizer step"),
      effect("gradient_clipping", T::real, "optimizer.max_grad_norm", "max_grad_norm",
             "largest global gradient norm"),
      effect("communication_data_type", T::text, "precision.communication", "",
             "dtype of gradients on the wire"),
      effect("dataloader_drop_last", T::boolean, "data.dataloader_drop_last",
             "dataloader_drop_last", "drop the last incomplete batch"),
      effect("log_level", T::text, "run.log_level", "log_level", "lowest level of the log"),
      effect("data_parallel_size", T::integer, "", "", "must equal the number of ranks"),
      effect("data_types.grad_accum_dtype", T::text, "precision.grad_accum", "",
             "dtype gradients are accumulated in"),
      effect("data_types.param_dtype", T::text, "", "", "must agree with the precision section"),
      notice("data_types.buffer_dtype", T::text, "", "models have no mutable buffers"),
      refused("managed_gradient_accumulation", T::boolean, "true", "leave it out"),
      notice("prescale_gradients", T::boolean, "false",
             "the loss is divided by the step's token count before the backward pass"),
      notice("gradient_predivide_factor", T::real, "1",
             "the loss is divided by the step's token count before the backward pass"),
      refused("gradient_allreduce_op", T::text, "mean", "gradients are always averaged"),
      notice("seq_parallel_communication_data_type", T::text, "fp32",
             "there is no sequence parallelism"),
      refused("sparse_gradients", T::boolean, "false", "gradients are dense"),
      notice("zero_allow_untested_optimizer", T::boolean, "", "every built optimizer is tested"),
      notice("zero_force_ds_cpu_optimizer", T::boolean, "true",
             "an offloaded optimizer always runs on the CPU kernels"),
      notice("steps_per_print", T::integer, "", "--logging_steps decides"),
      notice("wall_clock_breakdown", T::boolean, "false", kTimes),
      notice("memory_breakdown", T::boolean, "false", "zt plan shows memory per kind"),
      notice("dump_state", T::boolean, "false", "the resolved configuration is always logged"),
      notice("disable_allgather", T::boolean, "false", "DeepSpeed does not read it either"),
      notice("vocabulary_size", T::integer, "", "the model's configuration decides"),
      notice("graph_harvesting", T::boolean, "false", "steps are captured where that is possible"),
      notice("use_data_before_expert_parallelism", T::boolean, "false", "there are no experts"),
      refused("sequence_parallel_size", T::integer, "1", "only data parallelism is built"),
      notice("allgather_size", T::integer, "", "zero_optimization.allgather_bucket_size decides"),
      notice("compute_grad_norm", T::boolean, "true", "the global norm is always computed"),
      notice("parameter_alignment", T::integer, "", "the unit layout decides"),

      effect("optimizer.type", T::text, "", "", "Adam or AdamW"),
      notice("optimizer.legacy_fusion", T::boolean, "false", "the update is always fused"),
      effect("optimizer.params.lr", T::real, "optimizer.learning_rate", "learning_rate",
             "peak learning rate"),
      effect("optimizer.params.betas", T::list, "", "adam_beta1", "decay of both moments"),
      effect("optimizer.params.eps", T::real, "optimizer.epsilon", "adam_epsilon",
             "added to the denominator"),
      effect("optimizer.params.weight_decay", T::real, "optimizer.weight_decay", "weight_decay",
             "weight decay"),
      effect("optimizer.params.bias_correction", T::boolean, "optimizer.bias_correction", "",
             "correct the moments' bias"),
      effect("optimizer.params.adam_w_mode", T::boolean, "", "",
             "false with type Adam: L2 regularisation instead of decoupled decay"),
      notice("optimizer.params.torch_adam", T::boolean, "", "there is one Adam"),
      notice("optimizer.params.fused", T::boolean, "true", "the update is always fused"),
      notice("optimizer.params.foreach", T::boolean, "", "the update is always fused"),
      refused("optimizer.params.amsgrad", T::boolean, "false", "leave it out"),
      refused("optimizer.params.max_grad_norm", T::real, "", "use gradient_clipping"),

      effect("scheduler.type", T::text, "", "", "WarmupLR, WarmupDecayLR or WarmupCosineLR"),
      effect("scheduler.params.warmup_min_lr", T::real, "lr_schedule.warmup_min_lr", "",
             "learning rate the warm-up starts at"),
      effect("scheduler.params.warmup_max_lr", T::real, "lr_schedule.warmup_max_lr",
             "learning_rate", "learning rate the warm-up ends at"),
      effect("scheduler.params.warmup_num_steps", T::integer, "lr_schedule.warmup_num_steps",
             "warmup_steps", "warm-up steps"),
      effect("scheduler.params.total_num_steps", T::integer, "lr_schedule.total_num_steps",
             "max_steps", "steps of the whole schedule"),
      effect("scheduler.params.warmup_type", T::text, "", "", "log or linear"),
      effect("scheduler.params.warmup_min_ratio", T::real, "lr_schedule.warmup_min_ratio", "",
             "share of the learning rate the warm-up starts at"),
      effect("scheduler.params.cos_min_ratio", T::real, "lr_schedule.cos_min_ratio", "",
             "share of the learning rate the cosine ends at"),
      refused("scheduler.params.last_batch_iteration", T::integer, "-1",
              "schedules start at step 0"),

      effect("fp16.enabled", T::boolean, "", "fp16", "compute in fp16"),
      notice("fp16.auto_cast", T::boolean, "false", "models take token ids, not floats"),
      effect("fp16.loss_scale", T::real, "precision.loss_scale", "", "0: dynamic scale"),
      effect("fp16.initial_scale_power", T::integer, "precision.initial_scale_power", "",
             "first scale is 2 to this power"),
      effect("fp16.loss_scale_window", T::integer, "precision.loss_scale_window", "",
             "clean steps before the scale doubles"),
      effect("fp16.hysteresis", T::integer, "precision.hysteresis", "",
             "overflows before the scale halves"),
      effect("fp16.consecutive_hysteresis", T::boolean, "precision.consecutive_hysteresis", "",
             "refill hysteresis on every clean step"),
      effect("fp16.min_loss_scale", T::real, "precision.min_loss_scale", "", "floor of the scale"),
      refused("fp16.fp16_master_weights_and_grads", T::boolean, "false", "master weights are fp32"),
      notice("fp16.opt_level", T::text, "", "a key of Apex; fp16 has no levels"),
      effect("bf16.enabled", T::boolean, "", "bf16", "compute in bf16"),
      effect("bf16.check_grad_overflow", T::boolean, "precision.check_grad_overflow", "",
             "look for non-finite gradients"),
      notice("bf16.immediate_grad_update", T::boolean, "", "gradients accumulate as they are made"),
      refused("bf16.bf16_master_weights_and_grads", T::boolean, "false", "master weights are fp32"),
      refused("bf16.bf16_optimizer_states", T::boolean, "false", "moments are fp32"),
      notice("bf16.auto_cast", T::boolean, "", "models take token ids, not floats"),
      notice("bf16.loss_scale", T::real, "", "bf16 needs no loss scale"),
      notice("bf16.initial_scale_power", T::real, "", "bf16 needs no loss scale"),
      notice("bf16.loss_scale_window", T::real, "", "bf16 needs no loss scale"),
      notice("bf16.hysteresis", T::real, "", "bf16 needs no loss scale"),
      notice("bf16.consecutive_hysteresis", T::boolean, "", "bf16 needs no loss scale"),
      notice("bf16.min_loss_scale", T::real, "", "bf16 needs no loss scale"),
  };
}

}  // namespace zt::config
