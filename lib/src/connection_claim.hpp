#pragma once

namespace rowlock::detail {

/// Claims a connection of the caller's for one provider, for as long as it lives: two providers on one would not
/// exclude each other.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class connection_claim {
public:
    /// @throws std::logic_error it has been claimed before
    explicit connection_claim(const void* connection);
    ~connection_claim();
    connection_claim(const connection_claim&) = delete;
    connection_claim& operator=(const connection_claim&) = delete;

    [[nodiscard]] bool is_of(const void* connection) const noexcept { return connection == connection_; }

private:
    const void* const connection_;
};

}  // namespace rowlock::detail
