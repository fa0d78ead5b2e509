#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <rowlock/lock_handle.hpp>
#include <rowlock/options.hpp>

#include "event_sink.hpp"
#include "held_set.hpp"
#include "lease_keeper.hpp"

namespace rowlock::detail {

/// Everything that is the same for all back ends: asking, waiting, giving up, releasing, and the events about it.
/// What a provider, its primitives and its handles share.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class engine : public std::enable_shared_from_this<engine> {
public:
    /// @throws std::invalid_argument an option makes no sense
    static std::shared_ptr<engine> make(std::unique_ptr<backend> b, options opt);

    [[nodiscard]] const options& settings() const noexcept { return options_; }
    [[nodiscard]] std::string_view backend_name() const noexcept { return events_.backend(); }
    /// The back end, for what needs no engine: what it supports, who holds what.
    /// @throws std::logic_error in a forked child
    [[nodiscard]] backend& database() const;
    [[nodiscard]] deadline operation_deadline() const { return deadline::after(options_.operation_timeout); }

    /// @param name the full one, which `full_name` found in order
    std::optional<lock_handle> acquire(std::string_view name, lock_mode mode, std::uint32_t permits,
                                       const wait_bound& w);
    std::optional<std::vector<lock_handle>> acquire_all(std::span<const std::string> names, const wait_bound& w);
    bool upgrade(held_lock& h, const wait_bound& w);
    void release(held_lock& h);
    void release_quietly(held_lock& h) noexcept;
    void verify(held_lock& h);
    bool break_lock(std::string_view name, std::string_view reason);
    void look_at_the_clock(held_lock& h) const noexcept {
        if (h.can_expire()) h.lose_if_expired(boot_clock::now(), events_);
    }

private:
    engine(std::unique_ptr<backend> b, options opt);

    [[nodiscard]] std::shared_ptr<held_lock> new_lock(std::string_view name, lock_mode mode, std::uint32_t permits,
                                                      bool queued);
    [[nodiscard]] lock_handle hand_over(const std::shared_ptr<held_lock>& held, const grant& g, lock_mode mode);
    void tell(event_sink::event_function what, const held_lock& h, std::chrono::steady_clock::time_point started) const;

    std::optional<grant> obtain(const lock_request& r, const wait_bound& w);
    std::optional<grant> ask(const lock_request& r);
    std::optional<std::vector<lock_handle>> try_all(std::span<const std::string> names, bool last_try);
    several_grants ask(std::span<const lock_request> all);

    const options options_;
    const std::unique_ptr<backend> backend_;
    const unsigned made_in_ = fork_generation();
    const std::uint64_t session_;
    std::atomic<std::uint64_t> next_number_{1};
    const event_sink events_;
    held_set locks_;
    lease_keeper keeper_;
};

}  // namespace rowlock::detail
