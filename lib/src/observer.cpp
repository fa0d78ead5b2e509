#include <rowlock/observer.hpp>

namespace rowlock {

observer::~observer() = default;
void observer::granted(const lock_event&) {}
void observer::busy(const lock_event&) {}
void observer::timed_out(const lock_event&) {}
void observer::cancelled(const lock_event&) {}
void observer::released(const lock_event&) {}
void observer::lost(const lock_event&) {}
void observer::renewed(const lock_event&) {}
void observer::renewal_failed(const lock_event&) {}
void observer::release_failed(const lock_event&) {}

}  // namespace rowlock
