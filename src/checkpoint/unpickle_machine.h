#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "checkpoint/unpickle.h"

namespace zt::checkpoint {

/// The stack machine behind `unpickle`. It builds plain data: classes of the allow-list are turned
/// into values by name, nothing is called.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, std::string where);
  Pickle run();

 private:
  using Id = std::uint32_t;

  [[noreturn]] void fail(const std::string& what) const;
  std::span<const std::byte> take(std::uint64_t size);
  template <typename T>
  T take_value();
  std::string take_line();
  std::string take_text(std::uint64_t size);

  Id add(Node node);
  void push(Node node) { stack_.push_back(add(std::move(node))); }
  void charge(std::size_t amount);
  Id pop();
  Id top() const;
  std::vector<Id> pop_to_mark();
  Node& node(Id id) { return pickle_.nodes[id]; }

  bool step(std::uint8_t opcode);
  bool step_scalar(std::uint8_t opcode);
  bool step_container(std::uint8_t opcode);
  bool step_memo(std::uint8_t opcode);
  bool step_object(std::uint8_t opcode);
  void push_integer(std::int64_t value);
  void push_long(std::uint64_t size);
  void push_tuple(std::size_t size);
  void extend(Id target, const std::vector<Id>& values, NodeKind kind);
  void set_items(Id target, const std::vector<Id>& values);
  void remember(std::uint32_t slot);
  void recall(std::uint32_t slot);

  // unpickle_classes.cpp: what the names of the allow-list mean.
  void push_global(const std::string& module, const std::string& name);
  void persistent(Id id);
  Id call(Id function, Id arguments);
  Id make_object(Id type);
  void build(Id target, Id state);
  Id rebuild_tensor(const std::vector<Id>& arguments);
  Id encode(const std::vector<Id>& arguments);
  const std::vector<Id>& tuple_of(Id id, const char* what);
  std::vector<std::int64_t> sizes_of(Id id);
  std::int64_t integer_of(Id id);

  std::span<const std::byte> bytes_;
  std::string where_;
  std::size_t at_ = 0;
  std::size_t charged_ = 0;
  std::vector<Id> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Id> memo_;
  Pickle pickle_;
};

}  // namespace zt::checkpoint
