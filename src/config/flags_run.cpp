#include "config/flags_table.h"

namespace zt::config {
namespace {

Flag applies(const char* group, const char* name, const char* field, const char* help,
             const char* default_text = "") {
  return {name, group, FlagUse::applies, FlagType::field, field, "", default_text, help};
}

Flag special(const char* group, const char* name, FlagType type, const char* values,
             const char* default_text, const char* help) {
  return {name, group, FlagUse::applies, type, "", values, default_text, help};
}

}  // namespace

/// What is trained, on which data, where the results go.
std::vector<Flag> run_flags() {
  constexpr const char* kModel = "Model";
  constexpr const char* kData = "Data";
  constexpr const char* kRun = "Run";
  constexpr const char* kLaunch = "Launch";
  return {
      applies(kModel, "model_name_or_path", "model.model_name_or_path",
              "Folder with config.json and, unless --from_scratch, the weights", "required"),
      applies(kModel, "tokenizer_name_or_path", "model.tokenizer_name_or_path",
              "Folder with the tokenizer", "the model's folder"),
      applies(kModel, "from_scratch", "model.from_scratch",
              "Initialise the weights instead of loading them"),
      applies(kData, "train_file_dir", "data.train_file_dir",
              "Folder with the training text (.txt, .json, .jsonl)", "required to train"),
      applies(kData, "validation_file_dir", "data.validation_file_dir",
              "Folder with the validation text", "a split of the training text"),
      applies(
          kData, "validation_split_percentage", "data.validation_split_percentage",
          "Percent of the training text kept for evaluation when there is no validation folder"),
      applies(kData, "cache_dir", "data.cache_dir", "Folder for tokenized data",
              "<output_dir>/cache"),
      applies(kData, "overwrite_cache", "data.overwrite_cache", "Tokenize again"),
      applies(kData, "block_size", "data.block_size", "Tokens per training sample"),
      applies(kData, "packing", "data.packing", "Fill each block with several documents"),
      applies(kData, "packing_rule", "data.packing_rule",
              "stream: blocks run over all text; hf: blocks restart after every 1000 documents"),
      applies(kData, "document_mask", "data.document_mask",
              "No attention across documents inside a packed block"),
      applies(kData, "keep_linebreaks", "data.keep_linebreaks", "Keep line ends of .txt files"),
      applies(kData, "max_train_samples", "data.max_train_samples", "Use at most this many blocks",
              "all"),
      applies(kData, "max_eval_samples", "data.max_eval_samples",
              "Evaluate on at most this many blocks", "all"),
      applies(kData, "preprocessing_num_workers", "data.preprocessing_num_workers",
              "Threads that tokenize", "all cores"),
      applies(kData, "train_sampling_strategy", "data.train_sampling_strategy",
              "Order of the samples"),
      special(kData, "group_by_length", FlagType::boolean, "", "false",
              "Same as --train_sampling_strategy group_by_length"),
      applies(kData, "dataloader_drop_last", "data.dataloader_drop_last",
              "Drop the last incomplete batch of an epoch"),
      applies(kRun, "output_dir", "run.output_dir", "Folder for the model, results and log",
              "required to train"),
      applies(kRun, "overwrite_output_dir", "run.overwrite_output_dir",
              "Write into an output folder that already has files"),
      applies(kRun, "do_train", "run.do_train", "Train"),
      applies(kRun, "do_eval", "run.do_eval", "Evaluate after training"),
      applies(kRun, "num_train_epochs", "run.num_train_epochs", "Epochs, fractions allowed"),
      applies(kRun, "max_steps", "run.max_steps", "Optimizer steps; above 0 it replaces epochs"),
      applies(kRun, "per_device_train_batch_size", "run.per_device_train_batch_size",
              "Samples per rank and micro-step"),
      applies(kRun, "per_device_eval_batch_size", "run.per_device_eval_batch_size",
              "Samples per rank and batch of an evaluation; its result does not depend on it",
              "as a micro-step of training"),
      applies(kRun, "gradient_accumulation_steps", "run.gradient_accumulation_steps",
              "Micro-steps per optimizer step"),
      special(kRun, "eval_strategy", FlagType::text, "no|steps|epoch", "no",
              "When to evaluate during training; steps and epoch switch --do_eval on"),
      special(kRun, "eval_steps", FlagType::real, "", "--logging_steps",
              "Optimizer steps between evaluations with --eval_strategy steps; below 1 a share of "
              "all steps"),
      applies(kRun, "logging_strategy", "run.logging_strategy", "When to log"),
      applies(kRun, "profile", "run.profile_steps",
              "Steps whose operations are timed for a Chrome trace, trace.json in --output_dir"),
      applies(kRun, "logging_steps", "run.logging_steps",
              "Optimizer steps between log lines; below 1 a share of all steps"),
      applies(kRun, "logging_first_step", "run.logging_first_step", "Log the first step too"),
      applies(kRun, "logging_nan_inf_filter", "run.logging_nan_inf_filter",
              "The logged mean loss leaves out steps whose loss is not finite"),
      applies(kRun, "logging_dir", "run.logging_dir", "Folder for TensorBoard event files",
              "<output_dir>/runs/<date>_<host>"),
      special(kRun, "report_to", FlagType::list, "", "none",
              "Curves besides metrics.jsonl: tensorboard, csv (log_history.csv), all, none"),
      special(kRun, "log_level", FlagType::text, "debug|info|warning|error|critical|passive",
              "info", "Lowest level of the log on rank 0"),
      special(kRun, "log_level_replica", FlagType::text,
              "debug|info|warning|error|critical|passive", "warning",
              "Lowest level of the log on the other ranks"),
      applies(kRun, "disable_tqdm", "run.disable_tqdm", "No progress line"),
      applies(kRun, "seed", "run.seed", "Seed of weights and data order"),
      applies(kRun, "data_seed", "data.data_seed", "Seed of the data order", "--seed"),
      applies(kLaunch, "nproc", "launch.nproc", "Ranks to start on this machine",
              "all GPUs, or 1 CPU rank"),
      applies(kLaunch, "use_cpu", "launch.use_cpu", "Train on the CPU even where there is a GPU"),
      applies(kLaunch, "gpu_memory", "launch.gpu_memory",
              "Memory that one rank may use, as 24GB or 24GiB", "90 % of the device"),
      applies(kLaunch, "host_memory", "launch.host_memory",
              "Host memory that the ranks of a machine may use together, as 256GB",
              "what the machine and its cgroup limits say"),
      applies(kLaunch, "ddp_timeout", "run.ddp_timeout_seconds",
              "Longest time in seconds that one exchange between ranks may take"),
      applies(
          kLaunch, "hang_timeout", "run.hang_timeout_seconds",
          "Seconds in which no rank moves after which the run is ended with a report; 0: never"),
  };
}

/// How it is trained.
std::vector<Flag> tuning_flags() {
  constexpr const char* kOptimizer = "Optimizer";
  constexpr const char* kPrecision = "Precision";
  constexpr const char* kZero = "ZeRO and memory";
  return {
      applies(kOptimizer, "learning_rate", "optimizer.learning_rate", "Peak learning rate"),
      applies(kOptimizer, "weight_decay", "optimizer.weight_decay", "Decoupled weight decay"),
      applies(kOptimizer, "adam_beta1", "optimizer.beta1", "Decay of the first moment"),
      applies(kOptimizer, "adam_beta2", "optimizer.beta2", "Decay of the second moment"),
      applies(kOptimizer, "adam_epsilon", "optimizer.epsilon", "Added to the denominator"),
      applies(kOptimizer, "max_grad_norm", "optimizer.max_grad_norm",
              "Largest global gradient norm; 0: no clipping"),
      special(kOptimizer, "optim", FlagType::text,
              "adamw_torch|adamw_torch_fused|adamw_apex_fused|adamw_hf", "adamw_torch",
              "All accepted names mean the same fused AdamW"),
      special(kOptimizer, "lr_scheduler_type", FlagType::text,
              "linear|cosine|constant|constant_with_warmup", "linear", "Learning-rate schedule"),
      special(kOptimizer, "lr_scheduler_kwargs", FlagType::json, "", "{}",
              "num_cycles of cosine, as {\"num_cycles\": 0.5}"),
      applies(kOptimizer, "warmup_steps", "lr_schedule.warmup_steps",
              "Warm-up steps; below 1 a share of all steps"),
      special(kOptimizer, "warmup_ratio", FlagType::real, "", "0",
              "Warm-up as a share of all steps (older name of --warmup_steps below 1)"),
      special(kPrecision, "bf16", FlagType::boolean, "", "false",
              "Compute in bf16 with fp32 master weights"),
      special(kPrecision, "fp16", FlagType::boolean, "", "false",
              "Compute in fp16 with fp32 master weights and a loss scale"),
      applies(kPrecision, "max_nonfinite_steps", "precision.max_nonfinite_steps",
              "Steps with non-finite gradients before the run stops"),
      special(kZero, "deepspeed", FlagType::json, "", "none",
              "DeepSpeed configuration: path, inline JSON or base64"),
      special(kZero, "gradient_checkpointing", FlagType::tristate, "", "auto",
              "True: --recompute full, False: --recompute none"),
      applies(kZero, "recompute", "zero.recompute",
              "What the backward pass computes again instead of keeping"),
      applies(kZero, "reduce_at", "zero.reduce_at", "When gradients are reduced"),
      special(kZero, "retain", FlagType::text, "auto|off", "auto",
              "Keep gathered units live across micro-steps where the plan has room"),
      special(kZero, "coalesce", FlagType::text, "", "auto",
              "Run k accumulation micro-batches as one: auto, off or k"),
      special(kZero, "cuda_graphs", FlagType::text, "auto|off", "auto",
              "Run micro-steps and boundaries as CUDA graphs where all their work allows it"),
      special(kZero, "transfers", FlagType::text, "nccl|copy", "nccl",
              "copy: large collectives move by the GPUs' copy engines where all ranks are on one "
              "machine and reach each other's memory"),
      applies(kZero, "reduce", "zero.reduce",
              "ordered: sum in rank order, same bits everywhere; native: the library's reduction"),
      applies(kZero, "deterministic", "zero.deterministic", "Deterministic kernels only"),
      special(kZero, "full_determinism", FlagType::boolean, "", "false", "Same as --deterministic"),
  };
}

}  // namespace zt::config
