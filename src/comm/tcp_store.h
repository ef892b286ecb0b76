#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "comm/store.h"

namespace zt::comm {

/// Where the run's TCP store is and what this process does for it.
struct TcpStoreOptions {
  std::string host = "127.0.0.1";
  int port = 29500;              ///< 0, of the server: any free one
  bool is_server = false;        ///< this process hosts the store
  std::optional<int> listen_fd;  ///< bound socket that the server takes over; absent: bound here
  std::string key_prefix = "zt/";
  std::chrono::milliseconds connect_timeout{120'000};
};

/// Opens c10d's TCPStore (the protocol of torchrun's own). The server listens on the address of
/// `host` alone. Errors: CommError when it cannot be bound or reached.
std::unique_ptr<Store> open_tcp_store(const TcpStoreOptions& options);

}  // namespace zt::comm
