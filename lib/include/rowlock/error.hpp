#pragma once

#include <stdexcept>
#include <string>

namespace rowlock {

/// What every `rowlock::error` carries besides its message. Empty strings and 0 where nothing is known.
struct error_context {
    std::string lock_name{};  ///< full name of the lock, prefix included
    std::string backend{};    ///< "sqlite", "memory", ...
    std::string sqlstate{};   ///< five characters, where the database speaks SQLSTATE
    int native_code = 0;      ///< the driver's own code; for SQLite the extended result code
};

/// Root of everything that the library throws about a lock. Misuse of the interface is `std::logic_error` or
/// `std::invalid_argument` instead, and "somebody else holds it" is never an exception.
///
/// An exception of a third-party library never escapes: it is nested (`std::rethrow_if_nested`).
class error : public std::runtime_error {
public:
    explicit error(const std::string& message, error_context context = {});
    ~error() override;

    [[nodiscard]] const std::string& lock_name() const noexcept { return context_.lock_name; }
    [[nodiscard]] const std::string& backend() const noexcept { return context_.backend; }
    [[nodiscard]] const std::string& sqlstate() const noexcept { return context_.sqlstate; }
    [[nodiscard]] int native_code() const noexcept { return context_.native_code; }

private:
    error_context context_;
};

/// The caller's `std::stop_token` ended a wait. The lock is not held.
class cancelled : public error {
public:
    using error::error;
    ~cancelled() override;
};

/// The database could not be reached or used: no such file, no permission, disk full, no answer in time.
class connection_error : public error {
public:
    using error::error;
    ~connection_error() override;
};

/// An answer was lost after the request may have been carried out. The lock may be held for up to one time to
/// live by a lease that no handle stands for; the library goes on trying to give it back.
class in_doubt_error : public error {
public:
    using error::error;
    ~in_doubt_error() override;
};

/// The lock is not held any more: its lease ran out, its connection died, an operator broke it.
class lock_lost : public error {
public:
    using error::error;
    ~lock_lost() override;
};

/// The database ended a wait because it closed a circle of waits.
class deadlock_detected : public error {
public:
    using error::error;
    ~deadlock_detected() override;
};

/// The tables are missing, older, newer or edited. The message says which, and what to run.
class schema_error : public error {
public:
    using error::error;
    ~schema_error() override;
};

/// This back end has no such primitive; see `provider::supports()`.
class unsupported : public error {
public:
    using error::error;
    ~unsupported() override;
};

}  // namespace rowlock
