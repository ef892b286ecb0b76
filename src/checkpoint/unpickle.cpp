#include "checkpoint/unpickle.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "checkpoint/unpickle_machine.h"

namespace zt::checkpoint {
namespace {

constexpr std::size_t kMaxPickle = 64U << 20;   ///< bytes; a model of 100k tensors needs 20
constexpr std::size_t kMaxNodes = 3'000'000;    ///< values
constexpr std::size_t kMaxCharge = 128U << 20;  ///< bytes that calls may copy
constexpr std::size_t kMaxMarks = 10'000;       ///< nesting
constexpr std::size_t kMaxLine = 256;

/// Opcodes that PyTorch writes. Source: CPython Lib/pickletools.py.
namespace op {
constexpr std::uint8_t kProto = 0x80, kFrame = 0x95, kStop = '.', kMark = '(', kPop = '0';
constexpr std::uint8_t kPopMark = '1', kNone = 'N', kTrue = 0x88, kFalse = 0x89, kInt = 'J';
constexpr std::uint8_t kInt1 = 'K', kInt2 = 'M', kLong1 = 0x8a, kLong4 = 0x8b, kFloat = 'G';
constexpr std::uint8_t kUnicode = 'X', kShortUnicode = 0x8c, kUnicode8 = 0x8d;
constexpr std::uint8_t kBytes = 'B', kShortBytes = 'C', kBytes8 = 0x8e;
constexpr std::uint8_t kEmptyList = ']', kAppend = 'a', kAppends = 'e', kEmptyTuple = ')';
constexpr std::uint8_t kTuple = 't', kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87;
constexpr std::uint8_t kEmptyDict = '}', kSetItem = 's', kSetItems = 'u';
constexpr std::uint8_t kEmptySet = 0x8f, kAddItems = 0x90;
constexpr std::uint8_t kGet = 'h', kLongGet = 'j', kPut = 'q', kLongPut = 'r', kMemoize = 0x94;
constexpr std::uint8_t kGlobal = 'c', kStackGlobal = 0x93, kReduce = 'R', kNewObj = 0x81;
constexpr std::uint8_t kBuild = 'b', kPersistent = 'Q';
}  // namespace op

}  // namespace

PickleMachine::PickleMachine(std::span<const std::byte> bytes, std::string where)
    : bytes_(bytes), where_(std::move(where)) {}

void PickleMachine::fail(const std::string& what) const {
  throw CheckpointError(
      fmt::format("[checkpoint.pt] {}: {} (byte {} of {}). Use a checkpoint from a source you "
                  "trust; only plain data and tensors are read, and no code is run.",
                  where_, what, at_, bytes_.size()));
}

std::span<const std::byte> PickleMachine::take(std::uint64_t size) {
  if (size > bytes_.size() - at_) fail("the pickle is cut short");
  const auto result = bytes_.subspan(at_, size);
  at_ += size;
  return result;
}

template <typename T>
T PickleMachine::take_value() {
  T value{};
  std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
  return value;
}

std::string PickleMachine::take_text(std::uint64_t size) {
  const auto text = take(size);
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::string PickleMachine::take_line() {
  std::string line;
  for (;;) {
    const auto next = take_value<char>();
    if (next == '\n') return line;
    line.push_back(next);
    if (line.size() > kMaxLine) fail("a name is too long");
  }
}

PickleMachine::Id PickleMachine::add(Node added) {
  if (pickle_.nodes.size() >= kMaxNodes) fail("the pickle holds too many values");
  pickle_.nodes.push_back(std::move(added));
  return static_cast<Id>(pickle_.nodes.size() - 1);
}

void PickleMachine::charge(std::size_t amount) {
  charged_ += amount;
  if (charged_ > kMaxCharge) fail("the pickle grows beyond its limit");
}

PickleMachine::Id PickleMachine::top() const {
  const auto floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() <= floor) fail("an opcode finds no value");
  return stack_.back();
}

PickleMachine::Id PickleMachine::pop() {
  const auto id = top();
  stack_.pop_back();
  return id;
}

std::vector<PickleMachine::Id> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("an opcode finds no mark");
  const auto begin = static_cast<std::ptrdiff_t>(marks_.back());
  marks_.pop_back();
  std::vector<Id> values(stack_.begin() + begin, stack_.end());
  stack_.resize(static_cast<std::size_t>(begin));
  return values;
}

void PickleMachine::push_integer(std::int64_t value) {
  push({.kind = NodeKind::integer, .integer = value});
}

/// A little-endian two's complement integer of `size` bytes.
void PickleMachine::push_long(std::uint64_t size) {
  if (size > 8) fail("an integer has more than 64 bits");
  std::uint64_t value = 0;
  const auto digits = take(size);
  for (std::size_t i = 0; i < size; ++i) {
    value |= static_cast<std::uint64_t>(digits[i]) << (8 * i);
  }
  if (size > 0 && size < 8 && (static_cast<std::uint8_t>(digits[size - 1]) & 0x80U) != 0) {
    value |= ~std::uint64_t{0} << (8 * size);
  }
  push_integer(static_cast<std::int64_t>(value));
}

void PickleMachine::push_tuple(std::size_t size) {
  Node tuple{.kind = NodeKind::tuple};
  tuple.items.resize(size);
  for (std::size_t i = size; i-- > 0;) tuple.items[i] = pop();
  push(std::move(tuple));
}

void PickleMachine::extend(Id target, const std::vector<Id>& values, NodeKind kind) {
  if (node(target).kind != kind) fail("values are added to something that takes none");
  auto& items = node(target).items;
  items.insert(items.end(), values.begin(), values.end());
}

void PickleMachine::set_items(Id target, const std::vector<Id>& values) {
  if (values.size() % 2 != 0) fail("a key has no value");
  extend(target, values, NodeKind::dict);
}

void PickleMachine::remember(std::uint32_t slot) { memo_[slot] = top(); }

void PickleMachine::recall(std::uint32_t slot) {
  const auto found = memo_.find(slot);
  if (found == memo_.end()) fail("a memo slot is empty");
  stack_.push_back(found->second);
  if (stack_.size() > kMaxNodes) fail("the stack is too deep");
}

bool PickleMachine::step_scalar(std::uint8_t opcode) {
  switch (opcode) {
    case op::kNone:
      push({});
      return true;
    case op::kTrue:
    case op::kFalse:
      push({.kind = NodeKind::boolean, .integer = opcode == op::kTrue ? 1 : 0});
      return true;
    case op::kInt:
      push_integer(take_value<std::int32_t>());
      return true;
    case op::kInt1:
      push_integer(take_value<std::uint8_t>());
      return true;
    case op::kInt2:
      push_integer(take_value<std::uint16_t>());
      return true;
    case op::kLong1:
      push_long(take_value<std::uint8_t>());
      return true;
    case op::kLong4:
      push_long(take_value<std::uint32_t>());
      return true;
    case op::kFloat:  // big-endian
      push({.kind = NodeKind::real,
            .real = std::bit_cast<double>(__builtin_bswap64(take_value<std::uint64_t>()))});
      return true;
    case op::kShortUnicode:
      push({.kind = NodeKind::text, .text = take_text(take_value<std::uint8_t>())});
      return true;
    case op::kUnicode:
      push({.kind = NodeKind::text, .text = take_text(take_value<std::uint32_t>())});
      return true;
    case op::kUnicode8:
      push({.kind = NodeKind::text, .text = take_text(take_value<std::uint64_t>())});
      return true;
    case op::kShortBytes:
      push({.kind = NodeKind::bytes, .text = take_text(take_value<std::uint8_t>())});
      return true;
    case op::kBytes:
      push({.kind = NodeKind::bytes, .text = take_text(take_value<std::uint32_t>())});
      return true;
    case op::kBytes8:
      push({.kind = NodeKind::bytes, .text = take_text(take_value<std::uint64_t>())});
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_container(std::uint8_t opcode) {
  switch (opcode) {
    case op::kMark:
      if (marks_.size() >= kMaxMarks) fail("values are nested too deeply");
      marks_.push_back(stack_.size());
      return true;
    case op::kPop:
      (void)pop();
      return true;
    case op::kPopMark:
      (void)pop_to_mark();
      return true;
    case op::kEmptyList:
      push({.kind = NodeKind::list});
      return true;
    case op::kEmptyDict:
      push({.kind = NodeKind::dict});
      return true;
    case op::kEmptySet:
      push({.kind = NodeKind::set});
      return true;
    case op::kEmptyTuple:
      push({.kind = NodeKind::tuple});
      return true;
    case op::kTuple1:
    case op::kTuple2:
    case op::kTuple3:
      push_tuple(opcode - op::kTuple1 + 1U);
      return true;
    case op::kTuple: {
      auto values = pop_to_mark();
      push({.kind = NodeKind::tuple, .items = std::move(values)});
      return true;
    }
    case op::kAppend: {
      const auto value = pop();
      extend(top(), {value}, NodeKind::list);
      return true;
    }
    case op::kAppends: {
      const auto values = pop_to_mark();
      extend(top(), values, NodeKind::list);
      return true;
    }
    case op::kAddItems: {
      const auto values = pop_to_mark();
      extend(top(), values, NodeKind::set);
      return true;
    }
    case op::kSetItem: {
      const auto value = pop();
      const auto key = pop();
      set_items(top(), {key, value});
      return true;
    }
    case op::kSetItems: {
      const auto values = pop_to_mark();
      set_items(top(), values);
      return true;
    }
    default:
      return false;
  }
}

bool PickleMachine::step_memo(std::uint8_t opcode) {
  switch (opcode) {
    case op::kPut:
      remember(take_value<std::uint8_t>());
      return true;
    case op::kLongPut:
      remember(take_value<std::uint32_t>());
      return true;
    case op::kMemoize:
      remember(static_cast<std::uint32_t>(memo_.size()));
      return true;
    case op::kGet:
      recall(take_value<std::uint8_t>());
      return true;
    case op::kLongGet:
      recall(take_value<std::uint32_t>());
      return true;
    default:
      return false;
  }
}

bool PickleMachine::step_object(std::uint8_t opcode) {
  switch (opcode) {
    case op::kGlobal: {
      const auto module = take_line();
      push_global(module, take_line());
      return true;
    }
    case op::kStackGlobal: {
      const auto name = pop();
      const auto module = pop();
      if (node(name).kind != NodeKind::text || node(module).kind != NodeKind::text) {
        fail("a class has no name");
      }
      push_global(std::string(node(module).text), std::string(node(name).text));
      return true;
    }
    case op::kReduce: {
      const auto arguments = pop();
      const auto function = pop();
      stack_.push_back(call(function, arguments));
      return true;
    }
    case op::kNewObj: {
      const auto arguments = pop();
      const auto type = pop();
      (void)tuple_of(arguments, "arguments");
      stack_.push_back(make_object(type));
      return true;
    }
    case op::kBuild: {
      const auto state = pop();
      build(top(), state);
      return true;
    }
    case op::kPersistent:
      persistent(pop());
      return true;
    default:
      return false;
  }
}

/// False after the last opcode.
bool PickleMachine::step(std::uint8_t opcode) {
  if (opcode == op::kStop) return false;
  if (opcode == op::kFrame) {
    if (take_value<std::uint64_t>() > bytes_.size() - at_) fail("a frame is cut short");
    return true;
  }
  if (step_scalar(opcode) || step_container(opcode) || step_memo(opcode) || step_object(opcode)) {
    return true;
  }
  fail(fmt::format("opcode 0x{:02x} is not allowed", opcode));
}

Pickle PickleMachine::run() {
  if (bytes_.size() > kMaxPickle) fail("the pickle is too large");
  if (take_value<std::uint8_t>() != op::kProto) fail("is no pickle of protocol 2 to 4");
  const auto protocol = take_value<std::uint8_t>();
  if (protocol < 2 || protocol > 4) fail(fmt::format("got protocol {}, expected 2 to 4", protocol));
  while (step(take_value<std::uint8_t>())) {
  }
  if (at_ != bytes_.size()) fail("bytes follow the end of the pickle");
  if (stack_.size() != 1 || !marks_.empty()) fail("the pickle does not end with one value");
  pickle_.root = stack_.back();
  return std::move(pickle_);
}

Pickle unpickle(std::span<const std::byte> bytes, const std::string& where) {
  return PickleMachine(bytes, where).run();
}

}  // namespace zt::checkpoint
