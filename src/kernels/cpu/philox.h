#pragma once

#include <array>
#include <cstdint>

namespace zt::kernels::cpu {

inline constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53U;
inline constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E8D57U;
inline constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9U;
inline constexpr std::uint32_t kPhiloxWeyl1 = 0xBB67AE85U;
inline constexpr int kPhiloxRounds = 10;

/// Philox4x32-10: four random words that depend on nothing but counter and key. Source: Salmon et
/// al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                           std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t a = std::uint64_t{kPhiloxMultiplier0} * counter[0];
    const std::uint64_t b = std::uint64_t{kPhiloxMultiplier1} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += kPhiloxWeyl0;
    key[1] += kPhiloxWeyl1;
  }
  return counter;
}

/// The random word of one element in one step. Elements come in blocks of 64: element e takes word
/// (e % 64) / 16 of the counter 16 * (e / 64) + e % 16, so that vectors of up to 16 lanes use all
/// four words of a counter without moving them.
inline std::uint32_t element_word(std::uint64_t seed, std::uint32_t step, std::uint64_t element) {
  const std::uint64_t counter = element / 64 * 16 + element % 16;
  const auto words = philox(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), step, 0},
      {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return words[element % 64 / 16];
}

}  // namespace zt::kernels::cpu
