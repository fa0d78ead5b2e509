#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>

#include <linux/futex.h>

#include "futex.hpp"

namespace rowlock::sqlite {

/// The place of one process in the arena. The kernel follows `node` when the owning thread dies and marks `life`,
/// which lies behind it at a fixed distance: linux/futex.h, struct robust_list_head.
struct alignas(64) presence_slot {
    robust_list node;                       ///< a pointer of the owner's address space; nobody else follows it
    futex_word life;                        ///< 0 free, FUTEX_OWNER_DIED dead, otherwise the owner's thread id
    futex_word alarm;                       ///< counts calls to the owner
    std::atomic<std::int64_t> incarnation;  ///< of the owner; 0 while it changes hands

    [[nodiscard]] static bool is_alive(std::uint32_t life) noexcept {
        return (life & FUTEX_TID_MASK) != 0 && (life & FUTEX_OWNER_DIED) == 0;
    }
};

/// A thread whose life stands for the process's: it owns the slot's `life` from construction to destruction, or until
/// the process dies, and waits for alarms in between. It takes no signals.
class presence {
public:
    /// The slot must be free or dead, and nobody else may claim one at the same time.
    presence(presence_slot& slot, std::int64_t incarnation, std::function<void()> on_alarm);
    ~presence();
    presence(const presence&) = delete;
    presence& operator=(const presence&) = delete;

private:
    void claim(std::int64_t incarnation);
    void watch();
    void leave();

    presence_slot& slot_;
    const std::function<void()> on_alarm_;
    robust_list_head owned_{};
    std::atomic<bool> claimed_{false};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace rowlock::sqlite
