#pragma once

#include <stdexcept>
#include <string>

namespace zt {

/// Base of every error the library throws. The text has the form
/// `[module.op] what is wrong: got X, expected Y (rank r, object). Do Z.`
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The user's configuration, flags or input data are wrong. Exit code 2.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// A model, tokenizer, data or checkpoint file is missing, damaged or of the wrong kind. Exit
/// code 3.
class FileError : public Error {
 public:
  using Error::Error;
};

/// A checkpoint cannot be written, read or verified. Exit code 3.
class CheckpointError : public FileError {
 public:
  using FileError::FileError;
};

/// A peer failed or communication timed out. Exit code 4.
class CommError : public Error {
 public:
  using Error::Error;
};

/// The device refused an allocation or a launch. Exit code 5.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A bug in zerotrain itself. Exit code 70.
class InternalError : public Error {
 public:
  using Error::Error;
};

/// Throws InternalError with the place and the failed condition.
[[noreturn]] void throw_assertion(const char* file, int line, const char* condition,
                                  const std::string& message);

}  // namespace zt

/// Checks an invariant of our own code; never for user input. Stays on in release builds.
#define ZT_ASSERT(condition, message)                                   \
  do {                                                                  \
    if (!(condition)) {                                                 \
      ::zt::throw_assertion(__FILE__, __LINE__, #condition, (message)); \
    }                                                                   \
  } while (false)
