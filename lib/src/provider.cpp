#include <rowlock/provider.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "engine.hpp"
#include "names.hpp"

namespace rowlock {

provider::provider(std::unique_ptr<backend> b, options opt)
    : engine_{detail::engine::make(std::move(b), std::move(opt))} {}

bool provider::supports(primitive p) const { return engine_->database().supports(p); }
backend_traits provider::traits() const { return engine_->database().traits(); }
const options& provider::settings() const noexcept { return engine_->settings(); }

lock_handle provider::acquire(std::string_view name, std::stop_token stop) {
    return acquire_exclusive(name, {deadline::never(), std::move(stop)}).value();
}

std::optional<lock_handle> provider::acquire_exclusive(std::string_view name, const wait_bound& w) {
    return engine_->acquire(detail::full_name(settings().key_prefix, name), lock_mode::exclusive, 1, w);
}

std::optional<std::vector<lock_handle>> provider::acquire_all(std::span<const std::string> names, const wait_bound& w) {
    return engine_->acquire_all(names, w);
}

std::vector<lock_status> provider::status(std::string_view prefix) const {
    return engine_->database().inspect(prefix, engine_->operation_deadline());
}

bool provider::break_lock(std::string_view name, std::string_view reason) {
    const auto full = detail::full_name(settings().key_prefix, name);
    if (reason.empty() || !detail::is_utf8(reason) || reason.find('\0') != std::string_view::npos)
        throw std::invalid_argument{
            "breaking a lock needs a reason (UTF-8 text): it is what the holder is told and what stays on record"};
    return engine_->break_lock(full, reason);
}

std::size_t provider::purge(std::chrono::milliseconds idle) {
    if (idle.count() < 0) throw std::invalid_argument{"purge: the idle time must not be negative"};
    // Longer than any clock has run: kept within what nanoseconds can count.
    idle = std::min<std::chrono::milliseconds>(idle, std::chrono::hours{24 * 365 * 100});
    return engine_->database().purge(idle, engine_->operation_deadline());
}

}  // namespace rowlock
