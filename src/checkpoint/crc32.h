#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace zt::checkpoint {

/// CRC-32 of `bytes`, continuing from `crc` (0 at the start). Source: zip format, appendix on
/// CRC-32, polynomial 0xEDB88320; eight bytes at a time (Kounavis and Berry, 2005).
std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes);

}  // namespace zt::checkpoint
