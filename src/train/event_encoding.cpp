#include "train/event_encoding.h"

#include <array>
#include <cstring>

namespace zt::train {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected
constexpr std::uint32_t kMaskDelta = 0xA282EAD8;
constexpr int kStringType = 7;  // DT_STRING

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[byte] = value;
  }
  return table;
}

constexpr auto kTable = make_table();

/// `count` low bytes of `value`, lowest first.
std::string little_endian(std::uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFF);
  return bytes;
}

/// Builds one protocol buffer message field by field.
class Message {
 public:
  Message& integer(int field, std::uint64_t value) {
    key(field, 0);
    varint(value);
    return *this;
  }
  Message& fixed64(int field, double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    key(field, 1);
    bytes_ += little_endian(bits, 8);
    return *this;
  }
  Message& fixed32(int field, float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    key(field, 5);
    bytes_ += little_endian(bits, 4);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  [[nodiscard]] const std::string& text() const { return bytes_; }

 private:
  void key(int field, int wire_type) { varint(static_cast<std::uint64_t>(field << 3 | wire_type)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

/// Event{wall_time 1, step 2, summary 5 {value 1}}.
std::string summary_event(double wall_time, std::int64_t step, const Message& value) {
  return Message()
      .fixed64(1, wall_time)
      .integer(2, static_cast<std::uint64_t>(step))
      .bytes(5, Message().bytes(1, value.text()).text())
      .text();
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  }
  return crc ^ 0xFFFFFFFF;
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + kMaskDelta;
}

std::string framed(std::string_view data) {
  const std::string length = little_endian(data.size(), 8);
  std::string record = length + little_endian(masked_crc32c(length), 4);
  record += data;
  return record + little_endian(masked_crc32c(data), 4);
}

std::string version_event(double wall_time) {
  return Message().fixed64(1, wall_time).bytes(3, "brain.Event:2").text();
}

std::string scalar_event(double wall_time, std::int64_t step, const std::string& tag,
                         double value) {
  return summary_event(wall_time, step,
                       Message().bytes(1, tag).fixed32(2, static_cast<float>(value)));
}

std::string text_event(double wall_time, std::int64_t step, const std::string& tag,
                       const std::string& text) {
  const auto one = Message().bytes(2, Message().integer(1, 1).text());  // shape [1]
  const auto tensor = Message().integer(1, kStringType).bytes(2, one.text()).bytes(8, text);
  const auto metadata = Message().bytes(1, Message().bytes(1, "text").text());  // plugin
  return summary_event(
      wall_time, step,
      Message().bytes(1, tag + "/text_summary").bytes(8, tensor.text()).bytes(9, metadata.text()));
}

}  // namespace zt::train
