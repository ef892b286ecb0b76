#include <fmt/format.h>

#include <vector>

#include "checkpoint/deepspeed_parts.h"
#include "checkpoint/torch_writer.h"
#include "kernels/cast/cast.h"

namespace zt::checkpoint {
namespace {

using layout::StateKind;

TorchDType to_torch(DType dtype) {
  return dtype == DType::bf16  ? TorchDType::bf16
         : dtype == DType::f16 ? TorchDType::f16
                               : TorchDType::f32;
}

void put_none(PickleWriter& out, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    out.text(key);
    out.none();
  }
}

/// Parameters in the order of the groups, which is that of the storages.
std::vector<const layout::ParamSpec*> ordered(const DeepSpeedFiles& files) {
  std::vector<const layout::ParamSpec*> order;
  for (const auto& group : files.groups) {
    order.insert(order.end(), group.params.begin(), group.params.end());
  }
  return order;
}

/// Stages 1 and 2: whole tensors. Stage 3: empty ones, the values are in the optimizer's files.
void put_module(PickleWriter& out, const std::vector<const layout::ParamSpec*>& order,
                const std::vector<StorageRef>& storages, bool sharded) {
  out.text("module");
  out.begin_dict();
  const std::vector<std::int64_t> empty{0};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto& storage = storages[sharded ? 0 : i];
    std::vector<std::string> names{order[i]->name};
    names.insert(names.end(), order[i]->aliases.begin(), order[i]->aliases.end());
    for (const auto& name : names) {
      out.text(name);
      out.tensor(storage, 0, sharded ? empty : order[i]->shape);
    }
  }
  out.end_dict();
}

void put_shapes(PickleWriter& out, const std::vector<FlatPart>& parts) {
  out.text("param_shapes");
  out.begin_list();
  for (const auto& part : parts) {
    out.begin_dict();
    for (const auto* param : part.params) {
      out.text(param->name);
      out.size(param->shape);
    }
    out.end_dict();
  }
  out.end_list();
}

void put_shared(PickleWriter& out, const DeepSpeedFiles& files, int rank) {
  out.text("shared_params");
  out.begin_dict();
  for (const auto& param : files.params) {
    if (rank != 0) break;  // DeepSpeed fills it on the first rank only
    for (const auto& alias : param.aliases) out.item(alias, param.name);
  }
  out.end_dict();
}

/// Loadable by DeepSpeed's schedulers (`last_batch_iteration`) and by torch's LambdaLR, which the
/// Trainer uses.
void put_scheduler(PickleWriter& out, const DeepSpeedFiles& files) {
  const auto applied = files.source.run_state().applied_steps;
  out.text("lr_scheduler");
  out.begin_dict();
  out.item("last_batch_iteration", applied - 1);
  out.item("last_epoch", applied);
  out.item("_step_count", applied + 1);
  out.text("_last_lr");
  out.begin_list();
  for (std::size_t i = 0; i < files.groups.size(); ++i) out.real(files.save.adam.learning_rate);
  out.end_list();
  out.text("lr_lambdas");
  out.begin_list();
  for (std::size_t i = 0; i < files.groups.size(); ++i) out.none();
  out.end_list();
  out.end_dict();
}

void put_config(PickleWriter& out, const DeepSpeedFiles& files) {
  const auto& save = files.save;
  const auto batch = files.source.run_state().global_batch;
  out.text("ds_config");
  out.begin_dict();
  if (batch > 0) out.item("train_batch_size", batch);
  if (save.micro_batch > 0) out.item("train_micro_batch_size_per_gpu", save.micro_batch);
  out.item("gradient_clipping", save.max_grad_norm);
  out.text("zero_optimization");
  out.begin_dict();
  out.item("stage", static_cast<std::int64_t>(save.layout));
  out.end_dict();
  for (const auto& [key, dtype] : {std::pair{"bf16", DType::bf16}, {"fp16", DType::f16}}) {
    out.text(key);
    out.begin_dict();
    out.flag("enabled", save.dtype == dtype);
    out.end_dict();
  }
  out.end_dict();
}

/// Numbers that DeepSpeed has no place for, so that a run of ours goes on exactly.
void put_own_state(PickleWriter& out, const RunState& run) {
  out.text(kOwnState);
  out.begin_dict();
  out.item("epoch", run.epoch);
  out.item("global_batch", run.global_batch);
  out.item("coalesce", run.coalesce);
  out.item("seed", static_cast<std::int64_t>(run.seed));
  out.item("data_seed", static_cast<std::int64_t>(run.data_seed));
  if (!run.trainer_state.empty()) out.item("trainer_state", std::string_view(run.trainer_state));
  out.end_dict();
}

std::string model_pickle(const DeepSpeedFiles& files, int rank,
                         const std::vector<const layout::ParamSpec*>& order,
                         const std::vector<StorageRef>& storages) {
  const auto& run = files.source.run_state();
  PickleWriter out;
  out.begin_dict();
  put_module(out, order, storages, files.save.layout == DeepSpeedLayout::stage3);
  out.text("buffer_names");
  out.begin_list();
  out.end_list();
  put_none(out, {"optimizer"});
  put_shapes(out, flat_parts(files.groups, files.save, rank));
  put_none(out, {"frozen_param_shapes"});
  put_shared(out, files, rank);
  put_none(out, {"frozen_param_fragments"});
  put_scheduler(out, files);
  put_none(out, {"data_sampler", "random_ltd"});
  out.text("sparse_tensor_module_names");
  out.empty_set();
  out.item("skipped_steps", run.global_step - run.applied_steps);
  out.item("global_steps", run.global_step);
  out.item("global_samples", run.samples_seen);
  out.item("dp_world_size", std::int64_t{files.save.world});
  out.item("mp_world_size", std::int64_t{1});
  out.text("checkpoint_parallel_dimensions");
  out.begin_dict();
  out.item("pp_degree", std::int64_t{1});
  out.item("tp_degree", std::int64_t{1});
  out.end_dict();
  put_config(out, files);
  out.item("ds_version", kDeepSpeedVersion);
  out.text("universal_checkpoint_info");
  out.begin_dict();
  out.item("universal_checkpoint_version", 0.4);
  out.end_dict();
  put_own_state(out, run);
  out.end_dict();
  return out.take();
}

/// All of a parameter, rounded to the saved dtype.
void write_weight(const DeepSpeedFiles& files, const layout::ParamSpec& param,
                  TorchWriter& writer) {
  const auto dtype = param.dtype(files.save.dtype);
  std::vector<std::byte> rounded;
  read_run(files.source, StateKind::weight, {&param, 0, param.numel().value},
           [&](std::span<const float> values) {
             if (dtype == DType::f32) {
               writer.write(std::as_bytes(values));
               return;
             }
             const auto count = static_cast<std::int64_t>(values.size());
             rounded.resize(static_cast<std::size_t>(storage({count}, dtype).value));
             kernels::cast({const_cast<float*>(values.data()), count, DType::f32},
                           {rounded.data(), count, dtype}, Launch{});
             writer.write(rounded);
           });
}

}  // namespace

std::string model_file_name(DeepSpeedLayout layout, int rank) {
  return layout == DeepSpeedLayout::stage3
             ? fmt::format("zero_pp_rank_{}_mp_rank_00_model_states.pt", rank)
             : "mp_rank_00_model_states.pt";
}

void write_model_file(const DeepSpeedFiles& files, int rank) {
  const auto order = ordered(files);
  const bool sharded = files.save.layout == DeepSpeedLayout::stage3;
  std::vector<StorageRef> storages;
  for (const auto* param : order) {
    storages.push_back({std::to_string(storages.size()), to_torch(param->dtype(files.save.dtype)),
                        sharded ? 0 : param->numel().value});
    if (sharded) break;
  }
  TorchWriter writer(files.folder + "/" + model_file_name(files.save.layout, rank),
                     model_pickle(files, rank, order, storages), storages);
  for (const auto* param : order) {
    if (!sharded) write_weight(files, *param, writer);
  }
  writer.finish();
}

}  // namespace zt::checkpoint
