#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "checkpoint/unpickle_machine.h"

namespace zt::checkpoint {
namespace {

struct StorageClass {
  const char* name;
  TorchDType dtype;
};
constexpr std::array<StorageClass, 10> kStorages{{{"torch.FloatStorage", TorchDType::f32},
                                                  {"torch.HalfStorage", TorchDType::f16},
                                                  {"torch.BFloat16Storage", TorchDType::bf16},
                                                  {"torch.DoubleStorage", TorchDType::f64},
                                                  {"torch.LongStorage", TorchDType::i64},
                                                  {"torch.IntStorage", TorchDType::i32},
                                                  {"torch.ShortStorage", TorchDType::i16},
                                                  {"torch.CharStorage", TorchDType::i8},
                                                  {"torch.ByteStorage", TorchDType::u8},
                                                  {"torch.BoolStorage", TorchDType::boolean}}};

constexpr const char* kStage = "deepspeed.runtime.zero.config.ZeroStageEnum";
constexpr std::array<const char*, 4> kStageNames{"disabled", "optimizer_states", "gradients",
                                                 "weights"};

/// Functions and containers with a meaning here.
constexpr std::array<const char*, 12> kFunctions{"collections.OrderedDict",
                                                 "torch._utils._rebuild_tensor_v2",
                                                 "torch._utils._rebuild_parameter",
                                                 "torch._utils._rebuild_parameter_with_state",
                                                 "torch._tensor._rebuild_from_type_v2",
                                                 "torch.Size",
                                                 "builtins.set",
                                                 "__builtin__.set",
                                                 "builtins.getattr",
                                                 "__builtin__.getattr",
                                                 "_codecs.encode",
                                                 kStage};

/// Classes whose objects are kept as plain records: a name and a dict.
constexpr std::array<const char*, 15> kRecords{
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
    "deepspeed.utils.tensor_fragment.fragment_address",
    "deepspeed.checkpoint.universal_checkpoint.SubparamShape",
    "deepspeed.runtime.zero.offload_config.OffloadDeviceEnum",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "torch.device",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar"};

constexpr std::array<const char*, 12> kDTypes{"torch.float32", "torch.float16", "torch.bfloat16",
                                              "torch.float64", "torch.int64",   "torch.int32",
                                              "torch.int16",   "torch.int8",    "torch.uint8",
                                              "torch.bool",    "torch.float",   "torch.half"};

template <std::size_t N>
bool contains(const std::array<const char*, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const StorageClass* find_storage(std::string_view name) {
  const auto found = std::find_if(kStorages.begin(), kStorages.end(),
                                  [&](const StorageClass& it) { return name == it.name; });
  return found == kStorages.end() ? nullptr : &*found;
}

}  // namespace

void PickleMachine::push_global(const std::string& module, const std::string& name) {
  auto full = module + "." + name;
  if (!contains(kFunctions, full) && !contains(kRecords, full) && !contains(kDTypes, full) &&
      find_storage(full) == nullptr) {
    fail(
        fmt::format("names '{}', which is not on the list of what a checkpoint needs and may run "
                    "code",
                    full));
  }
  charge(full.size());
  push({.kind = NodeKind::global, .text = std::move(full)});
}

const std::vector<PickleMachine::Id>& PickleMachine::tuple_of(Id id, const char* what) {
  if (node(id).kind != NodeKind::tuple) fail(fmt::format("the {} are no tuple", what));
  return node(id).items;
}

std::int64_t PickleMachine::integer_of(Id id) {
  if (node(id).kind != NodeKind::integer) fail("a size is no integer");
  return node(id).integer;
}

/// `('storage', type, key, device, numel)`
void PickleMachine::persistent(Id id) {
  const auto& fields = tuple_of(id, "fields of a persistent id");
  if (fields.size() != 5 || node(fields[0]).kind != NodeKind::text ||
      node(fields[0]).text != "storage" || node(fields[1]).kind != NodeKind::global ||
      node(fields[2]).kind != NodeKind::text) {
    fail("a persistent id names no storage");
  }
  const auto* type = find_storage(node(fields[1]).text);
  const auto& key = node(fields[2]).text;
  const auto numel = integer_of(fields[4]);
  const bool digits =
      !key.empty() && key.size() <= 20 &&
      std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (type == nullptr || !digits || numel < 0 || numel > (std::int64_t{1} << 56)) {
    fail("a storage has no known type, key or size");
  }
  pickle_.storages.push_back({key, type->dtype, numel});
  push({.kind = NodeKind::storage,
        .integer = static_cast<std::int64_t>(pickle_.storages.size() - 1)});
}

std::vector<std::int64_t> PickleMachine::sizes_of(Id id) {
  const auto& items = tuple_of(id, "sizes of a tensor");
  if (items.size() > 64) fail("a tensor has more than 64 dimensions");
  std::vector<std::int64_t> result;
  for (const auto item : items) result.push_back(integer_of(item));
  return result;
}

/// (storage, offset, size, stride, requires_grad, hooks[, metadata])
PickleMachine::Id PickleMachine::rebuild_tensor(const std::vector<Id>& arguments) {
  if (arguments.size() < 6 || arguments.size() > 7 ||
      node(arguments[0]).kind != NodeKind::storage) {
    fail("a tensor has no storage");
  }
  TensorRef tensor;
  tensor.storage = static_cast<std::size_t>(node(arguments[0]).integer);
  tensor.offset = integer_of(arguments[1]);
  tensor.shape = sizes_of(arguments[2]);
  tensor.stride = sizes_of(arguments[3]);
  if (tensor.shape.size() != tensor.stride.size() || tensor.offset < 0) {
    fail("a tensor's sizes and strides do not fit each other");
  }
  const auto available = pickle_.storages[tensor.storage].numel;
  std::int64_t last = tensor.offset, numel = 1;
  bool fits = true;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    const auto size = tensor.shape[i], stride = tensor.stride[i];
    std::int64_t reach = 0;
    fits = fits && size >= 0 && stride >= 0 && !__builtin_mul_overflow(numel, size, &numel) &&
           !__builtin_mul_overflow(std::max<std::int64_t>(size - 1, 0), stride, &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  // More elements than the storage has would be an expanded view, which checkpoints do not hold.
  fits = fits && (numel == 0 ? tensor.offset <= available : last < available && numel <= available);
  if (!fits) fail("a tensor reaches beyond its storage");
  charge(tensor.shape.size() * 2 * sizeof(std::int64_t));
  pickle_.tensors.push_back(std::move(tensor));
  return add(
      {.kind = NodeKind::tensor, .integer = static_cast<std::int64_t>(pickle_.tensors.size() - 1)});
}

/// Bytes as protocol 2 writes them: text of code points below 256, and 'latin1'.
PickleMachine::Id PickleMachine::encode(const std::vector<Id>& arguments) {
  if (arguments.size() != 2 || node(arguments[0]).kind != NodeKind::text ||
      node(arguments[1]).kind != NodeKind::text || node(arguments[1]).text != "latin1") {
    fail("_codecs.encode is used for something else than bytes");
  }
  const auto& text = node(arguments[0]).text;
  charge(text.size());
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      result.push_back(text[i]);
      continue;
    }
    if ((first != 0xC2 && first != 0xC3) || i + 1 >= text.size()) fail("bytes are no latin1 text");
    const auto second = static_cast<unsigned char>(text[++i]);
    result.push_back(static_cast<char>(((first & 3U) << 6U) | (second & 0x3FU)));
  }
  return add({.kind = NodeKind::bytes, .text = std::move(result)});
}

PickleMachine::Id PickleMachine::make_object(Id type) {
  if (node(type).kind != NodeKind::global) fail("an object has no class");
  const auto& name = node(type).text;
  if (name == "collections.OrderedDict") return add({.kind = NodeKind::dict});
  if (!contains(kRecords, name)) fail(fmt::format("'{}' is no class of plain objects", name));
  charge(name.size());
  return add({.kind = NodeKind::record, .text = std::string(name)});
}

PickleMachine::Id PickleMachine::call(Id function, Id arguments) {
  if (node(function).kind != NodeKind::global) fail("something that is no function is called");
  const auto name = node(function).text;
  const auto values = tuple_of(arguments, "arguments");
  charge(name.size() + values.size() * sizeof(Id));
  if (name == "collections.OrderedDict" && values.empty()) return make_object(function);
  if (name == "torch._utils._rebuild_tensor_v2") return rebuild_tensor(values);
  if (name.rfind("torch._utils._rebuild_parameter", 0) == 0 && values.size() >= 3 &&
      node(values[0]).kind == NodeKind::tensor) {
    return values[0];
  }
  if (name == "torch._tensor._rebuild_from_type_v2" && values.size() == 4 &&
      node(values[0]).kind == NodeKind::global &&
      node(values[0]).text == "torch._utils._rebuild_tensor_v2") {
    return rebuild_tensor(tuple_of(values[2], "arguments of a tensor"));
  }
  if (name == "torch.Size" && values.size() == 1) {
    (void)tuple_of(values[0], "sizes");
    return values[0];
  }
  if (name == "_codecs.encode") return encode(values);
  if (name == "builtins.set" || name == "__builtin__.set") {
    Node set{.kind = NodeKind::set};
    if (values.size() != 1 || node(values[0]).kind != NodeKind::list) fail("a set has no list");
    charge(node(values[0]).items.size() * sizeof(Id));
    set.items = node(values[0]).items;
    return add(std::move(set));
  }
  if (name == kStage && values.size() == 1) {
    const auto value = integer_of(values[0]);
    if (value < 0 || value >= static_cast<std::int64_t>(kStageNames.size())) {
      fail("a ZeRO stage is unknown");
    }
    return values[0];
  }
  if (name == "builtins.getattr" || name == "__builtin__.getattr") {  // an enum of Python 3.11.2
    if (values.size() != 2 || node(values[0]).kind != NodeKind::global ||
        node(values[0]).text != kStage || node(values[1]).kind != NodeKind::text) {
      fail("getattr is used for something else than a ZeRO stage");
    }
    const auto& wanted = node(values[1]).text;
    const auto found = std::find(kStageNames.begin(), kStageNames.end(), wanted);
    if (found == kStageNames.end()) fail("a ZeRO stage has an unknown name");
    return add({.kind = NodeKind::integer, .integer = found - kStageNames.begin()});
  }
  if (contains(kRecords, name)) return make_object(function);
  fail(fmt::format("'{}' is called in a way that checkpoints do not need", name));
}

void PickleMachine::build(Id target, Id state) {
  if (node(target).kind == NodeKind::dict) {  // attributes of a state_dict: its `_metadata`
    if (node(state).kind != NodeKind::dict) fail("a dict has a state that is no dict");
    return;
  }
  if (node(target).kind != NodeKind::record) fail("a value that takes no state has one");
  node(target).items = {state};
}

}  // namespace zt::checkpoint
