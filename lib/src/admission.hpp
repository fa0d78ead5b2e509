#pragma once

#include <cstdint>

#include <rowlock/backend.hpp>

namespace rowlock::detail {

/// How many hold a name, by mode. The one place that says which modes go together; see `lock_mode`.
struct holders {
    std::uint32_t exclusive = 0, shared = 0, upgrade = 0, permit = 0;

    void add(lock_mode m) noexcept { ++count(m); }
    void remove(lock_mode m) noexcept { --count(m); }
    [[nodiscard]] bool none() const noexcept { return exclusive + shared + upgrade + permit == 0; }

    [[nodiscard]] bool admit(const lock_request& r) const noexcept { return admit(r.mode, r.permits, r.upgrade); }
    [[nodiscard]] bool admit(lock_mode asked, std::uint32_t permits, bool upgrading) const noexcept {
        switch (asked) {
            case lock_mode::exclusive:  // an upgrade's own lock does not stand in its way
                return exclusive + shared + permit == 0 && upgrade == (upgrading ? 1U : 0U);
            case lock_mode::shared:
                return exclusive + permit == 0;
            case lock_mode::upgrade:
                return exclusive + permit + upgrade == 0;
            case lock_mode::permit:
                return exclusive + shared + upgrade == 0 && permit < permits;
        }
        return false;
    }

private:
    std::uint32_t& count(lock_mode m) noexcept {
        switch (m) {
            case lock_mode::exclusive:
                return exclusive;
            case lock_mode::shared:
                return shared;
            case lock_mode::upgrade:
                return upgrade;
            case lock_mode::permit:
                break;
        }
        return permit;
    }
};

}  // namespace rowlock::detail
