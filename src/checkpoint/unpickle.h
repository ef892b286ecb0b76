#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zt::checkpoint {

/// Element types that PyTorch storages in checkpoints have.
enum class TorchDType : std::uint8_t { f32, f16, bf16, f64, i64, i32, i16, i8, u8, boolean };

std::int64_t size_of(TorchDType dtype);
const char* to_string(TorchDType dtype);

/// A storage that the pickle names: member `data/<key>` of the file, `numel` elements.
struct StorageRef {
  std::string key;
  TorchDType dtype = TorchDType::f32;
  std::int64_t numel = 0;
};

/// A tensor: a strided view into a storage. Checked: it lies inside of its storage.
struct TensorRef {
  std::size_t storage = 0;  ///< index into Pickle::storages
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, stride;
  [[nodiscard]] std::int64_t numel() const;
};

enum class NodeKind : std::uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  bytes,
  list,
  tuple,
  dict,  ///< items: key, value, key, value, ...
  set,
  global,  ///< text: `module.name` of an allowed class or function
  record,  ///< an object of the class `text`; items: its state, when it has one
  storage,
  tensor
};

/// One value. Values refer to others by index, so cycles do no harm.
struct Node {
  NodeKind kind = NodeKind::none;
  std::int64_t integer = 0;  ///< boolean, integer; index of the storage or tensor
  double real = 0;
  std::string text;
  std::vector<std::uint32_t> items;
};

/// What a pickle holds, as plain data. Nothing of it was ever run.
struct Pickle {
  std::vector<Node> nodes;
  std::vector<StorageRef> storages;
  std::vector<TensorRef> tensors;
  std::uint32_t root = 0;
};

/// A value of a pickle; `where` of the errors is the path that led to it.
/// Errors: CheckpointError when the value is not of the kind asked for.
class PickleValue {
 public:
  PickleValue(const Pickle& pickle, std::uint32_t node, std::string where)
      : pickle_(&pickle), node_(node), where_(std::move(where)) {}

  [[nodiscard]] NodeKind kind() const { return node().kind; }
  [[nodiscard]] bool is_none() const { return kind() == NodeKind::none; }
  [[nodiscard]] const std::string& where() const { return where_; }
  /// The value of a text key of a dict or of a record's state; nothing when it is absent or None.
  [[nodiscard]] std::optional<PickleValue> find(std::string_view key) const;
  [[nodiscard]] std::optional<PickleValue> find(std::int64_t key) const;
  [[nodiscard]] PickleValue at(std::string_view key) const;
  /// Elements of a list or tuple.
  [[nodiscard]] std::vector<PickleValue> items() const;
  /// Text keys and values of a dict, in order.
  [[nodiscard]] std::vector<std::pair<std::string, PickleValue>> entries() const;
  [[nodiscard]] std::int64_t integer() const;  ///< also a boolean or a real without fraction
  [[nodiscard]] double number() const;
  [[nodiscard]] const std::string& text() const;
  [[nodiscard]] const TensorRef& tensor() const;
  [[nodiscard]] std::vector<std::int64_t> shape() const;  ///< tuple or list of sizes
  [[noreturn]] void fail(const std::string& what) const;

 private:
  [[nodiscard]] const Node& node() const { return pickle_->nodes[node_]; }
  [[nodiscard]] PickleValue child(std::uint32_t id, const std::string& step) const;

  const Pickle* pickle_;
  std::uint32_t node_;
  std::string where_;
};

/// Reads a pickle of protocol 2 to 4 as PyTorch writes it. An opcode or class outside of the
/// allow-list is refused by name; lengths, stack, memo, number of values and the size of what is
/// built are bounded. Errors: CheckpointError naming `where` and the byte.
/// Source: CPython Lib/pickletools.py (opcodes), torch/_utils.py (tensors).
Pickle unpickle(std::span<const std::byte> bytes, const std::string& where);

}  // namespace zt::checkpoint
