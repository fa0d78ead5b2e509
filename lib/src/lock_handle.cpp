#include <rowlock/lock_handle.hpp>

#include <stdexcept>
#include <utility>

#include "engine.hpp"

namespace rowlock {

lock_handle::lock_handle(std::shared_ptr<detail::engine> engine, std::shared_ptr<detail::held_lock> held) noexcept
    : engine_{std::move(engine)}, held_{std::move(held)} {}

lock_handle::lock_handle(lock_handle&&) noexcept = default;

lock_handle& lock_handle::operator=(lock_handle&& other) noexcept {
    if (this == &other) return *this;
    if (mine()) engine_->release_quietly(*held_);
    held_ = std::move(other.held_);
    engine_ = std::move(other.engine_);
    return *this;
}

lock_handle::~lock_handle() {
    if (mine()) engine_->release_quietly(*held_);
}

// Null also in a forked child: the lock is its parent's.
detail::held_lock* lock_handle::mine() const noexcept {
    return held_ && held_->made_in() == detail::fork_generation() ? held_.get() : nullptr;
}

detail::held_lock& lock_handle::owned() const {
    if (auto* held = mine()) return *held;
    throw std::logic_error{"this handle stands for no lock: it was moved from, or belongs to the parent process"};
}

void lock_handle::release() {
    if (mine()) engine_->release(*held_);
}

std::string_view lock_handle::name() const noexcept { return mine() ? held_->short_name() : std::string_view{}; }

std::optional<fencing_token> lock_handle::token() const noexcept { return mine() ? held_->token() : std::nullopt; }

std::stop_token lock_handle::lost() const noexcept {
    if (!mine()) return {};
    engine_->look_at_the_clock(*held_);
    return held_->lost();
}

std::optional<loss_reason> lock_handle::lost_reason() const noexcept {
    if (!mine()) return std::nullopt;
    engine_->look_at_the_clock(*held_);
    return held_->reason();
}

std::string lock_handle::lost_detail() const { return mine() ? held_->detail() : std::string{}; }

std::chrono::steady_clock::time_point lock_handle::valid_until() const noexcept {
    using steady = std::chrono::steady_clock;
    if (!mine()) return steady::time_point::min();
    const auto until = held_->usable_until();
    if (until == boot_clock::time_point::max()) return steady::time_point::max();
    if (until == boot_clock::time_point::min()) return steady::time_point::min();
    return steady::now() + (until - boot_clock::now());
}

void lock_handle::verify() const {
    auto& held = owned();
    engine_->verify(held);
}

bool lock_handle::upgrade_within(const wait_bound& w) {
    auto& held = owned();
    return engine_->upgrade(held, w);
}

lock_mode lock_handle::mode() const { return owned().request().mode; }

std::string_view lock_handle::backend() const noexcept { return mine() ? engine_->backend_name() : std::string_view{}; }

const options& lock_handle::settings() const {
    (void)owned();
    return engine_->settings();
}

lock_request lock_handle::request() const { return owned().request(); }

}  // namespace rowlock
