#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "checkpoint/deepspeed_load.h"
#include "optim/param_groups.h"

namespace zt::checkpoint {
namespace {

using layout::StateKind;

std::int64_t numel_of(const std::vector<std::int64_t>& shape) {
  std::int64_t result = 1;
  for (const auto size : shape) result *= size;
  return result;
}

PickleValue optimizer_of(const TorchFile& file) { return file.root().at("optimizer_state_dict"); }

void check_count(const PickleValue& list, std::size_t groups) {
  if (list.items().size() != groups) {
    list.fail(fmt::format("got {} groups, expected {}", list.items().size(), groups));
  }
}

std::optional<PickleValue> group_state(const PickleValue& optimizer, std::size_t group) {
  if (optimizer.kind() == NodeKind::list) {  // `elastic_checkpoint`
    const auto groups = optimizer.items();
    return group < groups.size() ? std::optional(groups[group]) : std::nullopt;
  }
  return optimizer.at("state").find(static_cast<std::int64_t>(group));
}

std::optional<PickleValue> groups_of(const PickleValue& optimizer) {
  return optimizer.kind() == NodeKind::dict ? optimizer.find("param_groups") : std::nullopt;
}

/// A part of a parameter inside of one rank's flat tensor.
struct Fragment {
  std::string name;
  std::int64_t begin = 0, length = 0;
};

/// As the file says, or, in files of old versions, from the order and sizes of the parameters.
std::vector<Fragment> fragments_of(const PickleValue& optimizer, const PickleValue& shapes,
                                   std::size_t group, std::int64_t rank, std::int64_t partition) {
  std::vector<Fragment> result;
  if (const auto mappings = optimizer.find("param_slice_mappings")) {
    const auto groups = mappings->items();
    if (group >= groups.size()) mappings->fail("lacks a group");
    for (const auto& [name, address] : groups[group].entries()) {
      result.push_back({name, address.at("start").integer(), address.at("numel").integer()});
    }
    return result;
  }
  const auto first = rank * partition;
  std::int64_t at = 0;
  for (const auto& [name, shape] : shapes.entries()) {
    const auto end = at + numel_of(shape.shape());
    const auto begin = std::max(at, first), stop = std::min(end, first + partition);
    if (begin < stop) result.push_back({name, begin - first, stop - begin});
    at = end;
  }
  return result;
}

/// Elements of a rank's partition, padding included.
std::int64_t partition_length(const PickleValue& optimizer, std::size_t group,
                              const TensorRef& master) {
  const auto paddings = optimizer.find("group_paddings");
  if (!paddings) return master.numel();
  const auto values = paddings->items();
  const auto state = group_state(optimizer.at("base_optimizer_state"), group);
  if (state) {
    if (const auto moment = state->find("exp_avg")) {
      if (moment->tensor().numel() > master.numel()) return moment->tensor().numel();
    }
  }
  return master.numel() + (group < values.size() ? values[group].integer() : 0);
}

}  // namespace

std::vector<FlatTensor> flat_tensors(const TorchFile& file, const PickleValue& master,
                                     const std::optional<PickleValue>& state) {
  std::vector<FlatTensor> result{{StateKind::master, &file, &master.tensor()}};
  if (!state) return result;
  for (const auto& [kind, key] :
       {std::pair{StateKind::exp_avg, "exp_avg"}, {StateKind::exp_avg_sq, "exp_avg_sq"}}) {
    if (const auto moment = state->find(key)) result.push_back({kind, &file, &moment->tensor()});
  }
  return result;
}

std::int64_t read_step(const TorchFile& file, const std::optional<PickleValue>& state,
                       const std::optional<PickleValue>& param_groups) {
  const auto value = [&](const PickleValue& step) {
    return step.kind() == NodeKind::tensor ? static_cast<std::int64_t>(file.scalar(step.tensor()))
                                           : step.integer();
  };
  if (state) {
    if (const auto step = state->find("step")) return value(*step);
  }
  if (param_groups) {
    const auto groups = param_groups->items();
    if (!groups.empty()) {
      if (const auto step = groups[0].find("step")) return value(*step);
    }
  }
  return -1;
}

std::optional<AdamSettings> read_adam(const std::optional<PickleValue>& param_groups) {
  if (!param_groups || param_groups->items().empty()) return std::nullopt;
  const auto group = param_groups->items().front();
  AdamSettings adam{.one_group = param_groups->items().size() == 1};
  const auto set = [&](const char* key, double& value) {
    const auto found = group.find(key);
    const bool plain =
        found && (found->kind() == NodeKind::real || found->kind() == NodeKind::integer);
    if (plain) value = found->number();
  };
  set("lr", adam.learning_rate);
  set("eps", adam.epsilon);
  set("weight_decay", adam.weight_decay);
  if (const auto betas = group.find("betas"); betas && betas->items().size() == 2) {
    adam.beta1 = betas->items()[0].number();
    adam.beta2 = betas->items()[1].number();
  }
  if (const auto found = group.find("bias_correction")) {
    adam.bias_correction = found->integer() != 0;
  }
  if (const auto found = group.find("decoupled_weight_decay")) {
    adam.decoupled_decay = found->integer() != 0;
  }
  return adam;
}

void load_stage_1_and_2(DeepSpeedContent& content, const PickleValue& model,
                        const std::vector<const TorchFile*>& ranks) {
  const auto groups = model.at("param_shapes").items();
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const auto& file = *ranks[rank];
    const auto optimizer = optimizer_of(file);
    const auto base = optimizer.at("base_optimizer_state");
    const auto masters = optimizer.at("single_partition_of_fp32_groups");
    check_count(masters, groups.size());
    const auto master_items = masters.items();
    for (std::size_t group = 0; group < groups.size(); ++group) {
      const auto state = group_state(base, group);
      const auto length = partition_length(optimizer, group, master_items[group].tensor());
      const auto flat = flat_tensors(file, master_items[group], state);
      for (const auto& fragment :
           fragments_of(optimizer, groups[group], group, static_cast<std::int64_t>(rank), length)) {
        for (const auto& it : flat) {
          content.pieces.append(it.kind, fragment.name, fragment.length, file, *it.tensor,
                                fragment.begin);
        }
      }
      if (rank == 0 && group == 0) {
        content.run_state.applied_steps = read_step(file, state, groups_of(base));
        content.adam = read_adam(groups_of(base));
      }
    }
  }
}

void load_stage_3(DeepSpeedContent& content, const PickleValue& model,
                  const std::vector<const TorchFile*>& ranks) {
  const auto groups = model.at("param_shapes").items();
  const auto world = static_cast<std::int64_t>(ranks.size());
  for (std::int64_t rank = 0; rank < world; ++rank) {
    const auto& file = *ranks[static_cast<std::size_t>(rank)];
    const auto outer = optimizer_of(file);
    const auto inner = outer.at("optimizer_state_dict");
    const auto masters = outer.at("fp32_flat_groups");
    check_count(masters, groups.size());
    const auto master_items = masters.items();
    for (std::size_t group = 0; group < groups.size(); ++group) {
      const auto state = group_state(inner, group);
      const auto flat = flat_tensors(file, master_items[group], state);
      std::int64_t at = 0;
      for (const auto& [name, shape] : groups[group].entries()) {
        const auto numel = numel_of(shape.shape());
        const auto part = (numel + world - 1) / world;
        const auto begin = std::min(rank * part, numel);
        for (const auto& it : flat) {
          content.pieces.append(it.kind, name, std::min(part, numel - begin), file, *it.tensor, at);
        }
        at += part;
      }
      if (rank == 0 && group == 0) {
        content.run_state.applied_steps = read_step(file, state, groups_of(inner));
        content.adam = read_adam(groups_of(inner));
      }
    }
  }
}

/// The whole optimizer lies in the model states. torch's own optimizer has one state per parameter;
/// the 16-bit wrapper has flat groups. Parameters come in the model's order, in one group, or in
/// the Trainer's two: decayed and not.
void load_stage_0(DeepSpeedContent& content, const TorchFile& model) {
  auto optimizer = model.root().find("optimizer");
  if (!optimizer) return;
  const auto flat = optimizer->find("fp32_groups_flat");
  const auto inner = optimizer->find("optimizer_state_dict");
  if (inner) optimizer = inner;
  const auto groups = optimizer->at("param_groups").items();
  if (groups.size() > 2) optimizer->fail("got more than two parameter groups in stage 0");
  content.adam = read_adam(optimizer->find("param_groups"));
  std::int64_t index = 0;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    std::int64_t at = 0;
    for (const auto& name : content.pieces.names()) {
      const bool first = optim::is_decayed(name, false, false);
      if (groups.size() == 2 && first != (group == 0)) continue;
      const auto state =
          optimizer->at("state").find(flat ? static_cast<std::int64_t>(group) : index);
      const auto numel = numel_of(content.pieces.shape(name));
      std::vector<FlatTensor> tensors;
      if (flat) {
        const auto masters = flat->items();
        if (masters.size() != groups.size()) flat->fail("has not one tensor per group");
        tensors = flat_tensors(model, masters[group], state);
      } else if (state) {
        const auto& weight = model.root().at("module").at(name);
        tensors = flat_tensors(model, weight, state);
      }
      for (const auto& it : tensors) {
        content.pieces.append(it.kind, name, numel, model, *it.tensor, flat ? at : 0);
      }
      if (index == 0) {
        content.run_state.applied_steps = read_step(model, state, optimizer->find("param_groups"));
      }
      at += numel;
      ++index;
    }
  }
}

void load_universal(DeepSpeedContent& content) {
  namespace fs = std::filesystem;
  content.run_state.applied_steps = -1;
  for (const auto& name : content.pieces.names()) {
    const auto folder = "zero/" + name + "/";
    for (const auto& [kind, key] : {std::pair{StateKind::master, "fp32"},
                                    {StateKind::exp_avg, "exp_avg"},
                                    {StateKind::exp_avg_sq, "exp_avg_sq"}}) {
      const auto& file = content.open(folder + key + ".pt");
      const auto root = file.root();
      const auto value = root.kind() == NodeKind::dict ? root.at("param") : root;
      const auto numel = numel_of(content.pieces.shape(name));
      if (value.tensor().numel() != numel) {
        value.fail(fmt::format("got {} elements, expected {}", value.tensor().numel(), numel));
      }
      content.pieces.append(kind, name, numel, file, value.tensor(), 0);
    }
    if (content.run_state.applied_steps >= 0) continue;
    if (fs::exists(fs::path(content.where.folder) / (folder + "step.pt"))) {
      const auto& file = content.open(folder + "step.pt");
      const auto root = file.root();
      content.run_state.applied_steps = root.kind() == NodeKind::tensor
                                            ? static_cast<std::int64_t>(file.scalar(root.tensor()))
                                            : root.integer();
    } else if (fs::exists(fs::path(content.where.folder) / "zero/optimizer_state.pt")) {
      const auto& file = content.open("zero/optimizer_state.pt");
      const auto inner = file.root().find("optimizer_state_dict");
      if (!inner) continue;
      content.run_state.applied_steps =
          read_step(file, group_state(*inner, 0), inner->find("param_groups"));
    }
  }
}

}  // namespace zt::checkpoint
