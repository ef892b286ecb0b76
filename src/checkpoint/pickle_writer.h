#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/unpickle.h"

namespace zt::checkpoint {

/// Writes one pickle of protocol 2, value after value. Containers are opened and closed; inside of
/// a dict, keys and values alternate. No memo: values are trees.
class PickleWriter {
 public:
  PickleWriter();

  void none() { put("N"); }
  void boolean(bool value) { put(value ? "\x88" : "\x89"); }
  void integer(std::int64_t value);
  void real(double value);
  void text(std::string_view value);
  void begin_list() { put("]("); }
  void end_list() { put("e"); }
  void begin_tuple() { put("("); }
  void end_tuple() { put("t"); }
  void begin_dict() { put("}("); }
  void end_dict() { put("u"); }
  void empty_set();
  /// torch.Size, as shapes are kept.
  void size(std::span<const std::int64_t> shape);
  /// An empty object of a class; a dict for its state follows, then end_object.
  void begin_object(std::string_view module, std::string_view name);
  void end_object() { put("b"); }
  /// `torch.float16` and the like.
  void global(std::string_view module, std::string_view name);
  /// A contiguous tensor that starts at element `offset` of the storage with this key.
  void tensor(const StorageRef& storage, std::int64_t offset, std::span<const std::int64_t> shape);
  // Short forms for a key and its value inside of a dict.
  void item(std::string_view key, std::int64_t value) { text(key), integer(value); }
  void item(std::string_view key, double value) { text(key), real(value); }
  void item(std::string_view key, std::string_view value) { text(key), text(value); }
  void flag(std::string_view key, bool value) { text(key), boolean(value); }

  /// The finished pickle.
  std::string take();

 private:
  void put(std::string_view bytes) { out_ += bytes; }
  template <typename T>
  void put_value(T value);
  void numbers(std::span<const std::int64_t> values);

  std::string out_;
};

}  // namespace zt::checkpoint
