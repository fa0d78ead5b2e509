#include "presence.hpp"

#include <array>

#include <sys/syscall.h>
#include <unistd.h>

#include <quiet_thread.hpp>

namespace rowlock::sqlite {

presence::presence(presence_slot& slot, std::int64_t incarnation, std::function<void()> on_alarm)
    : slot_{slot}, on_alarm_{std::move(on_alarm)} {
    thread_ = detail::quiet_thread([this, incarnation] {
        claim(incarnation);
        watch();
        leave();
    });
    claimed_.wait(false);
}

presence::~presence() {
    stopping_ = true;
    slot_.alarm.fetch_add(1);
    futex_wake_all(slot_.alarm);
    thread_.join();
}

// In an order in which the thread may die between any two steps: while `list_op_pending` names the slot, the kernel
// looks at its word as well. glibc registered a list of its own for this thread, which it does not need here.
void presence::claim(std::int64_t incarnation) {
    owned_.list.next = &owned_.list;
    owned_.futex_offset =
        static_cast<long>(offsetof(presence_slot, life)) - static_cast<long>(offsetof(presence_slot, node));
    owned_.list_op_pending = &slot_.node;
    syscall(SYS_set_robust_list, &owned_, sizeof owned_);

    slot_.incarnation.store(0);  // first, so that nobody takes the new owner for the old one
    // With FUTEX_WAITERS set from the start the kernel always wakes those who wait for the death.
    slot_.life.store(static_cast<std::uint32_t>(gettid()) | FUTEX_WAITERS);
    slot_.node.next = &owned_.list;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    owned_.list.next = &slot_.node;
    owned_.list_op_pending = nullptr;
    slot_.incarnation.store(incarnation);

    claimed_ = true;
    claimed_.notify_one();
}

void presence::watch() {
    for (auto seen = slot_.alarm.load(); !stopping_;) {
        const std::array<futex_wait, 1> rung{{{&slot_.alarm, seen}}};
        futex_wait_any(rung, deadline::never());
        if (const auto now = slot_.alarm.load(); now != seen && !stopping_) {
            seen = now;
            on_alarm_();
        }
    }
}

void presence::leave() {
    owned_.list_op_pending = &slot_.node;
    owned_.list.next = &owned_.list;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    slot_.incarnation.store(0);
    slot_.life.store(0);
    futex_wake_all(slot_.life);
    owned_.list_op_pending = nullptr;
}

}  // namespace rowlock::sqlite
