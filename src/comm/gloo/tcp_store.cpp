#include "comm/tcp_store.h"

#include <c10/util/Logging.h>
#include <fmt/format.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "base/error.h"
#include "base/sockets.h"
#include "comm/gloo/c10d_store.h"

namespace zt::comm {
namespace {

std::string to_text(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

/// First line of a c10d message: the rest is a C++ stack.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

class C10dStore final : public Store {
 public:
  C10dStore(c10::intrusive_ptr<c10d::Store> store, std::string prefix)
      : store_(std::move(store)), prefix_(std::move(prefix)) {}

  void set(const std::string& key, const std::string& value) override {
    guard("set", key, [&] { store_->set(prefix_ + key, value); });
  }

  std::optional<std::string> try_get(const std::string& key) override {
    std::optional<std::string> value;
    guard("get", key, [&] {
      if (store_->check({prefix_ + key})) {
        value = to_text(store_->get(prefix_ + key));
      }
    });
    return value;
  }

  std::string get(const std::string& key, std::chrono::milliseconds timeout) override {
    std::string value;
    guard("get", key, [&] {
      store_->wait({prefix_ + key}, timeout);
      value = to_text(store_->get(prefix_ + key));
    });
    return value;
  }

  std::string set_once(const std::string& key, const std::string& value) override {
    std::string now;
    guard("set_once", key, [&] {
      now = to_text(store_->compareSet(prefix_ + key, std::vector<std::uint8_t>{},
                                       {value.begin(), value.end()}));
    });
    return now;
  }

  std::int64_t add(const std::string& key, std::int64_t delta) override {
    std::int64_t sum = 0;
    guard("add", key, [&] { sum = store_->add(prefix_ + key, delta); });
    return sum;
  }

  std::unique_ptr<Store> clone() override {
    std::unique_ptr<Store> copy;
    guard("clone", "", [&] { copy = std::make_unique<C10dStore>(store_->clone(), prefix_); });
    return copy;
  }

  [[nodiscard]] c10::intrusive_ptr<c10d::Store> connection(const std::string& prefix) {
    return c10::make_intrusive<c10d::PrefixStore>(prefix_ + prefix, store_->clone());
  }

 private:
  template <typename Call>
  void guard(const char* operation, const std::string& key, const Call& call) {
    try {
      call();
    } catch (const std::exception& error) {
      throw CommError(
          fmt::format("[comm.store] {} '{}' failed: {}. The store lives in rank 0's "
                      "process or in the launcher's; see whether it still runs.",
                      operation, key, first_line(error)));
    }
  }

  c10::intrusive_ptr<c10d::Store> store_;
  std::string prefix_;
};

}  // namespace

std::unique_ptr<Store> open_tcp_store(const TcpStoreOptions& options) {
  c10::initLogging();  // otherwise TORCH_CPP_LOG_LEVEL has no effect in programs without Python
  c10d::TCPStoreOptions c10d_options;
  c10d_options.port = static_cast<std::uint16_t>(options.port);
  c10d_options.isServer = options.is_server;
  c10d_options.waitWorkers = false;
  c10d_options.timeout = options.connect_timeout;
  if (options.is_server) {
    if (options.listen_fd) {
      c10d_options.masterListenFd = *options.listen_fd;
    } else {
      auto socket = net::bind_socket(options.host, options.port);
      c10d_options.port = static_cast<std::uint16_t>(socket.port());
      c10d_options.masterListenFd = socket.release();
    }
  }
  try {
    auto store = c10::make_intrusive<c10d::TCPStore>(options.host, c10d_options);
    return std::make_unique<C10dStore>(std::move(store), options.key_prefix);
  } catch (const std::exception& error) {
    throw CommError(fmt::format(
        "[comm.rendezvous] cannot {} the store at {}:{}: {}. Check "
        "MASTER_ADDR and MASTER_PORT and that rank 0 was started.",
        options.is_server ? "host" : "reach", options.host, options.port, first_line(error)));
  }
}

c10::intrusive_ptr<c10d::Store> new_c10d_connection(Store& store, const std::string& prefix) {
  auto* c10d_store = dynamic_cast<C10dStore*>(&store);
  ZT_ASSERT(c10d_store != nullptr, "Gloo needs a TCP store");
  return c10d_store->connection(prefix);
}

}  // namespace zt::comm
