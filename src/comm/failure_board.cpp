#include "comm/failure_board.h"

#include "base/error.h"

namespace zt::comm {
namespace {

constexpr const char* kKey = "failure";
constexpr std::size_t kLongest = 64 << 10;  ///< the store drops who sends 8 MiB

Failure parse(const std::string& text) {
  const std::size_t space = text.find(' ');
  ZT_ASSERT(space != std::string::npos, "failure board holds something else");
  return {std::stoi(text.substr(0, space)), text.substr(space + 1)};
}

}  // namespace

Failure FailureBoard::report(const Failure& failure) {
  const auto message = failure.message.substr(0, kLongest);
  return parse(store_.set_once(kKey, std::to_string(failure.rank) + " " + message));
}

std::optional<Failure> FailureBoard::first() {
  const std::optional<std::string> text = store_.try_get(kKey);
  return text ? std::optional(parse(*text)) : std::nullopt;
}

}  // namespace zt::comm
