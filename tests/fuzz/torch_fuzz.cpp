#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "checkpoint/torch_file.h"
#include "tests/fuzz/memory_file.h"

namespace {

using zt::checkpoint::NodeKind;
using zt::checkpoint::Pickle;
using zt::checkpoint::PickleValue;

/// Asks for what a checkpoint's loader asks for.
void look_at(const PickleValue& value) {
  if (value.kind() == NodeKind::dict) {
    static_cast<void>(value.find("optimizer_state_dict"));
    static_cast<void>(value.find(std::int64_t{0}));
    for (const auto& [name, entry] : value.entries()) {
      if (entry.kind() == NodeKind::tuple) static_cast<void>(entry.shape());
    }
  } else if (value.kind() == NodeKind::list) {
    static_cast<void>(value.items());
  } else {
    static_cast<void>(value.number());
  }
}

void read_file(const std::uint8_t* data, std::size_t size) {
  const zt::fuzz::MemoryFile input(data, size);
  const zt::checkpoint::TorchFile file(input.path());
  for (std::size_t i = 0; i < file.pickle().tensors.size() && i < 100; ++i) {
    const auto& tensor = file.pickle().tensors[i];
    const auto count = std::min<std::int64_t>(tensor.numel(), 64);
    std::vector<float> values(static_cast<std::size_t>(count));
    try {
      file.read(tensor, tensor.numel() - count, values);
    } catch (const zt::CheckpointError&) {  // integers
    }
  }
  look_at(file.root());
  file.verify();
}

}  // namespace

/// Whatever the bytes, a whole file or (as checksums stand before it) its pickle alone: data, or
/// CheckpointError.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    if (size > 0 && data[0] == 'P') {
      read_file(data, size);
    } else {
      const Pickle pickle =
          zt::checkpoint::unpickle({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
      ZT_ASSERT(pickle.nodes.size() <= size, "more values than opcodes");
      look_at(PickleValue(pickle, pickle.root, "fuzz"));
    }
  } catch (const zt::CheckpointError&) {
  }
  return 0;
}
