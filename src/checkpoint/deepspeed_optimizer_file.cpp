#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "checkpoint/deepspeed_parts.h"
#include "checkpoint/torch_writer.h"

namespace zt::checkpoint {
namespace {

using layout::StateKind;

constexpr std::int64_t kPiece = 1 << 20;  ///< elements held at once
constexpr std::array<StateKind, 3> kStates{StateKind::master, StateKind::exp_avg,
                                           StateKind::exp_avg_sq};

/// Three storages per flat tensor: master, exp_avg, exp_avg_sq.
const StorageRef& storage_of(const std::vector<StorageRef>& storages, std::size_t part,
                             std::size_t state) {
  return storages[part * kStates.size() + state];
}

void put_scaler(PickleWriter& out, const DeepSpeedSave& save, const RunState& run) {
  constexpr const char* kModule = "deepspeed.runtime.fp16.loss_scaler";
  const auto scaler = run.loss_scaler.value_or(optim::LossScalerState{.scale = 1.0});
  const bool dynamic = save.dtype == DType::f16 && save.dynamic_loss_scale;
  out.begin_object(kModule, dynamic ? "DynamicLossScaler" : "LossScaler");
  out.begin_dict();
  out.item("cur_scale", scaler.scale);
  out.flag("dynamic", dynamic);
  if (dynamic) {
    out.item("cur_iter", scaler.iteration);
    out.item("last_overflow_iter", scaler.last_overflow_iter);
    out.item("scale_factor", 2.0);
    out.item("scale_window", save.loss_scale_window);
    out.item("min_scale", save.min_loss_scale);
    out.item("delayed_shift", std::int64_t{save.hysteresis});
    out.item("cur_hysteresis", std::int64_t{scaler.hysteresis});
    out.flag("consecutive_hysteresis", save.consecutive_hysteresis);
    out.flag("raise_error_at_min_scale", true);
    out.text("dtype");
    out.global("torch", "float16");
  }
  out.end_dict();
  out.end_object();
}

/// The keys of torch's AdamW and of DeepSpeed's own Adams together: either takes what it knows.
void put_param_group(PickleWriter& out, const AdamSettings& adam, double weight_decay,
                     const std::vector<std::int64_t>& indices) {
  out.begin_dict();
  out.item("lr", adam.learning_rate);
  out.text("betas");
  out.begin_tuple();
  out.real(adam.beta1);
  out.real(adam.beta2);
  out.end_tuple();
  out.item("eps", adam.epsilon);
  out.item("weight_decay", weight_decay);
  out.flag("bias_correction", adam.bias_correction);
  for (const char* key : {"amsgrad", "maximize", "capturable", "differentiable"}) {
    out.flag(key, false);
  }
  for (const char* key : {"foreach", "fused"}) {
    out.text(key);
    out.none();
  }
  out.flag("decoupled_weight_decay", adam.decoupled_decay);
  out.text("params");
  out.begin_list();
  for (const auto index : indices) out.integer(index);
  out.end_list();
  out.end_dict();
}

/// `{"state": ..., "param_groups": ...}` of the optimizer over the flat tensors.
void put_optimizer(PickleWriter& out, const DeepSpeedFiles& files,
                   const std::vector<FlatPart>& parts, const std::vector<StorageRef>& storages) {
  out.begin_dict();
  out.text("state");
  out.begin_dict();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::array<std::int64_t, 1> shape{parts[i].length()};
    out.integer(static_cast<std::int64_t>(i));
    out.begin_dict();
    out.item("step", files.source.run_state().applied_steps);
    out.text("exp_avg");
    out.tensor(storage_of(storages, i, 1), 0, shape);
    out.text("exp_avg_sq");
    out.tensor(storage_of(storages, i, 2), 0, shape);
    out.end_dict();
  }
  out.end_dict();
  out.text("param_groups");
  out.begin_list();
  for (std::size_t group = 0; group < files.groups.size(); ++group) {
    std::vector<std::int64_t> indices;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].group == group) indices.push_back(static_cast<std::int64_t>(i));
    }
    put_param_group(out, files.save.adam, files.groups[group].weight_decay, indices);
  }
  out.end_list();
  out.end_dict();
}

void put_masters(PickleWriter& out, const std::vector<FlatPart>& parts,
                 const std::vector<StorageRef>& storages, bool strip_padding) {
  out.begin_list();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::array<std::int64_t, 1> shape{parts[i].length() -
                                            (strip_padding ? parts[i].padding : 0)};
    out.tensor(storage_of(storages, i, 0), 0, shape);
  }
  out.end_list();
}

void put_slice_mappings(PickleWriter& out, const std::vector<FlatPart>& parts) {
  out.begin_list();
  for (const auto& part : parts) {
    out.begin_dict();
    std::int64_t at = 0;
    for (const auto& run : part.runs) {
      if (run.param != nullptr) {
        out.text(run.param->name);
        out.begin_object("deepspeed.utils.tensor_fragment", "fragment_address");
        out.begin_dict();
        out.item("numel", run.length);
        out.item("start", at);
        out.end_dict();
        out.end_object();
      }
      at += run.length;
    }
    out.end_dict();
  }
  out.end_list();
}

void put_flat_groups(PickleWriter& out, const DeepSpeedFiles& files,
                     const std::vector<FlatPart>& parts, const std::vector<StorageRef>& storages) {
  out.item("clip_grad", files.save.max_grad_norm);
  out.text("base_optimizer_state");
  put_optimizer(out, files, parts, storages);
  out.text("single_partition_of_fp32_groups");
  put_masters(out, parts, storages, true);
  out.text("group_paddings");
  out.begin_list();
  for (const auto& part : parts) out.integer(part.padding);
  out.end_list();
  out.text("partition_count");
  out.begin_list();
  for (std::size_t i = 0; i < parts.size(); ++i) out.integer(files.save.world);
  out.end_list();
  out.item("ds_version", kDeepSpeedVersion);
  out.text("param_slice_mappings");
  put_slice_mappings(out, parts);
}

std::string optimizer_pickle(const DeepSpeedFiles& files, const std::vector<FlatPart>& parts,
                             const std::vector<StorageRef>& storages) {
  PickleWriter out;
  out.begin_dict();
  out.text("optimizer_state_dict");
  out.begin_dict();
  out.item("zero_stage", static_cast<std::int64_t>(files.save.layout));
  out.text("loss_scaler");
  put_scaler(out, files.save, files.source.run_state());
  out.flag("dynamic_loss_scale", files.save.dtype == DType::f16 && files.save.dynamic_loss_scale);
  out.flag("overflow", false);
  if (files.save.layout == DeepSpeedLayout::stage3) {
    out.item("partition_count", std::int64_t{files.save.world});
    out.text("optimizer_state_dict");
    put_optimizer(out, files, parts, storages);
    out.text("fp32_flat_groups");
    put_masters(out, parts, storages, false);
  } else {
    put_flat_groups(out, files, parts, storages);
  }
  out.end_dict();
  out.item("ds_version", kDeepSpeedVersion);
  out.end_dict();
  return out.take();
}

}  // namespace

void read_run(const StateSource& source, StateKind kind, const FlatRun& run,
              const std::function<void(std::span<const float>)>& sink) {
  const bool zeros = run.param == nullptr || !source.has(kind);
  std::vector<float> values(static_cast<std::size_t>(std::min(run.length, kPiece)));
  for (std::int64_t done = 0; done < run.length;) {
    const auto count = std::min(run.length - done, kPiece);
    const auto piece = std::span(values).first(static_cast<std::size_t>(count));
    if (!zeros) source.read(kind, *run.param, run.begin + done, piece);
    sink(piece);
    done += count;
  }
}

std::string optimizer_file_name(DType dtype, int rank) {
  return fmt::format("{}zero_pp_rank_{}_mp_rank_00_optim_states.pt",
                     dtype == DType::bf16 ? "bf16_" : "", rank);
}

void write_optimizer_file(const DeepSpeedFiles& files, int rank) {
  const auto parts = flat_parts(files.groups, files.save, rank);
  std::vector<StorageRef> storages;
  for (const auto& part : parts) {
    for (std::size_t i = 0; i < kStates.size(); ++i) {
      storages.push_back({std::to_string(storages.size()), TorchDType::f32, part.length()});
    }
  }
  TorchWriter writer(files.folder + "/" + optimizer_file_name(files.save.dtype, rank),
                     optimizer_pickle(files, parts, storages), storages);
  for (const auto& part : parts) {
    for (const auto state : kStates) {
      // A run in fp32, and weights alone, have no separate master.
      const bool weight = state == StateKind::master && !files.source.has(state);
      for (const auto& run : part.runs) {
        read_run(files.source, weight ? StateKind::weight : state, run,
                 [&](std::span<const float> values) { writer.write(std::as_bytes(values)); });
      }
    }
  }
  writer.finish();
}

}  // namespace zt::checkpoint
