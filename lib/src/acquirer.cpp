#include <rowlock/acquirer.hpp>

#include <rowlock/error.hpp>
#include <rowlock/semaphore.hpp>

#include <limits>
#include <stdexcept>

#include "engine.hpp"
#include "names.hpp"

namespace rowlock {

acquirer::acquirer(const provider& locks, std::string_view name, primitive kind, std::uint32_t permits)
    : engine_{locks.engine_},
      full_name_{detail::full_name(engine_->settings().key_prefix, name)},
      prefix_size_{engine_->settings().key_prefix.size()},
      permits_{permits} {
    if (!locks.supports(kind))
        throw unsupported{"the back end \"" + std::string{locks.traits().name} + "\" has no " +
                              std::string{to_string(kind)} + "; ask provider::supports() first",
                          {.lock_name = std::string{name}, .backend = std::string{locks.traits().name}}};
}

std::optional<lock_handle> acquirer::take(lock_mode mode, const wait_bound& w) const {
    return engine_->acquire(full_name_, mode, permits_, w);
}

std::uint32_t semaphore::checked(std::int64_t permits) {
    if (permits < 1 || permits > std::numeric_limits<std::int32_t>::max())
        throw std::invalid_argument{"a semaphore needs 1 to 2147483647 permits; it was given " +
                                    std::to_string(permits)};
    return static_cast<std::uint32_t>(permits);
}

}  // namespace rowlock
