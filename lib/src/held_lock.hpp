#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <rowlock/backend.hpp>

#include "event_sink.hpp"
#include "fork_generation.hpp"

namespace rowlock::detail {

/// One acquisition from the question to the release: what the handle, the renewal and the watch for losses share.
///
///     asked --granted--> held --released--> released
///       \                 |
///        `----- lost <----'          lost and released are final
///
/// Distinct objects: safe.
/// Shared objects: safe.
class held_lock {
public:
    enum class phase : std::uint8_t { asked, held, lost, released };

    held_lock(lock_request r, std::size_t prefix_size) : request_{std::move(r)}, prefix_size_{prefix_size} {}

    // Neither changes after construction.
    [[nodiscard]] const request_id& id() const noexcept { return request_.id; }
    [[nodiscard]] std::string_view full_name() const noexcept { return request_.name; }
    [[nodiscard]] std::string_view short_name() const noexcept { return full_name().substr(prefix_size_); }
    [[nodiscard]] unsigned made_in() const noexcept { return made_in_; }

    /// asked becomes held (or stays lost, if the loss was faster), or an upgrade came through.
    /// @param at for events about it
    void granted(const grant& g, lock_mode mode,
                 std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now());
    /// A renewal came through; nothing happens unless held.
    void extended(boot_clock::time_point expires_at);
    /// asked or held becomes lost, `lost()` fires in this thread, and the observer hears of it. Nothing happens
    /// otherwise.
    void lose(loss_reason why, std::string detail, const event_sink& events);
    /// lose(expired), if the time has come.
    void lose_if_expired(boot_clock::time_point now, const event_sink& events);
    /// Becomes released; answers with what it was before.
    phase release();

    [[nodiscard]] phase now() const;
    [[nodiscard]] lock_request request() const;
    /// The same without a copy, for when it does not change: before the grant, and after the release.
    [[nodiscard]] const lock_request& settled_request() const noexcept { return request_; }
    [[nodiscard]] std::optional<fencing_token> token() const;
    /// Empty before the grant.
    [[nodiscard]] std::stop_token lost() const noexcept { return lost_.get_token(); }
    [[nodiscard]] std::optional<loss_reason> reason() const;
    [[nodiscard]] std::string detail() const;

    /// When the holder must stop relying on the lock: its end less a margin; max() if it does not end by itself.
    [[nodiscard]] boot_clock::time_point usable_until() const noexcept;
    /// False where locks do not end by themselves, and once it is lost or released.
    [[nodiscard]] bool can_expire() const noexcept {
        const auto end = usable_until();
        return end != boot_clock::time_point::max() && end != boot_clock::time_point::min();
    }

    /// The fields that every event about this lock has; the views live as long as this object.
    [[nodiscard]] lock_event event() const;

private:
    void set_end(std::optional<boot_clock::time_point> expires_at);

    lock_request request_;
    const std::size_t prefix_size_;
    const unsigned made_in_ = fork_generation();

    mutable std::mutex mutex_;
    phase phase_ = phase::asked;
    std::optional<fencing_token> token_;
    std::optional<loss_reason> reason_;
    std::string detail_;
    std::chrono::steady_clock::time_point granted_at_{};
    std::atomic<boot_clock::time_point> usable_until_{boot_clock::time_point::max()};
    std::stop_source lost_{std::nostopstate};  ///< made by the grant: a busy try goes without
};

}  // namespace rowlock::detail
