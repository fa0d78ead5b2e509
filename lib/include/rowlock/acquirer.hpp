#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <rowlock/deadline.hpp>
#include <rowlock/lock_handle.hpp>
#include <rowlock/primitive.hpp>
#include <rowlock/provider.hpp>

namespace rowlock {

/// What the four primitives have in common: a name at a provider. Not for direct use.
class acquirer {
public:
    [[nodiscard]] std::string_view name() const noexcept { return std::string_view{full_name_}.substr(prefix_size_); }

protected:
    /// @throws unsupported `locks` has no such primitive
    /// @throws std::invalid_argument the name is not 1 to 255 bytes of UTF-8 without NUL, or no permits
    acquirer(const provider& locks, std::string_view name, primitive kind, std::uint32_t permits = 1);

    [[nodiscard]] std::optional<lock_handle> take(lock_mode mode, const wait_bound& w) const;
    [[nodiscard]] lock_handle take(lock_mode mode, std::stop_token stop) const {
        return take(mode, wait_bound{deadline::never(), std::move(stop)}).value();
    }

private:
    std::shared_ptr<detail::engine> engine_;
    std::string full_name_;
    std::size_t prefix_size_;
    std::uint32_t permits_;
};

}  // namespace rowlock
