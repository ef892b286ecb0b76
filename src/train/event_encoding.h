#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zt::train {

// Records of a TensorBoard event file: protocol buffer messages `Event`, framed as TFRecord.
// Source: tensorflow/core/util/event.proto, core/framework/summary.proto,
// core/lib/io/record_writer.h.

/// CRC-32C (Castagnoli) of `bytes`.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);
/// Rotated and offset, so that a checksum of data that holds checksums stays strong.
[[nodiscard]] std::uint32_t masked_crc32c(std::string_view bytes);

/// Length, its checksum, `data`, its checksum; little-endian.
[[nodiscard]] std::string framed(std::string_view data);

/// The event that starts a file. `wall_time`: seconds since 1970.
[[nodiscard]] std::string version_event(double wall_time);
[[nodiscard]] std::string scalar_event(double wall_time, std::int64_t step, const std::string& tag,
                                       double value);
/// For the text page. The stored tag is `tag`/text_summary.
[[nodiscard]] std::string text_event(double wall_time, std::int64_t step, const std::string& tag,
                                     const std::string& text);

}  // namespace zt::train
