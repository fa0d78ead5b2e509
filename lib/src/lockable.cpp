#include <rowlock/lockable.hpp>

#include <system_error>
#include <utility>

namespace rowlock {

void lockable::lock() {
    refuse_twice();
    held_ = mutex_.acquire();
}

bool lockable::try_lock() { return keep(mutex_.try_acquire()); }

bool lockable::keep(std::optional<lock_handle> got) {
    if (!got) return false;
    held_ = std::move(got);
    return true;
}

// A second lock() through one object would wait for itself for ever.
void lockable::refuse_twice() const {
    if (held_)
        throw std::system_error{std::make_error_code(std::errc::resource_deadlock_would_occur),
                                "this lockable holds the lock already"};
}

}  // namespace rowlock
