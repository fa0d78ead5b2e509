#include "lock_seeker.hpp"

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include <rowlock/mutex.hpp>
#include <rowlock/semaphore.hpp>
#include <rowlock/shared_mutex.hpp>

#include "../display.hpp"

namespace rowlock::cli {

lock_seeker::lock_seeker(const run_request& request)
    : request_{request}, ready_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
    if (!ready_) throw std::system_error{errno, std::generic_category(), "cannot create an event descriptor"};
}

void lock_seeker::start() {
    thread_ = std::jthread{[this](const std::stop_token& stop) { seek(stop); }};
}

lock_seeker::outcome lock_seeker::take() {
    thread_.join();
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(ready_.get(), &count, sizeof count);
    return std::exchange(outcome_, {});
}

void lock_seeker::close() {
    cancel();
    if (thread_.joinable()) thread_.join();
    outcome_ = {};
    locks_.reset();
}

void lock_seeker::seek(const std::stop_token& stop) {
    try {
        if (!locks_) {
            prepare(request_.db, request_.opt);
            locks_.emplace(open(request_.db.url, request_.opt));
        }
        outcome_.held = acquire(stop);
        if (!outcome_.held) outcome_.holders = holders();
    } catch (...) {
        outcome_.problem = std::current_exception();
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(ready_.get(), &one, sizeof one);
}

std::optional<lock_handle> lock_seeker::acquire(const std::stop_token& stop) {
    const auto until = request_.wait_until.at();
    const auto bounded = [&](auto once, auto wait) { return request_.wait ? wait() : once(); };
    switch (request_.mode) {
        case lock_mode::shared: {
            shared_mutex s{*locks_, request_.name};
            return bounded([&] { return s.try_acquire_shared(); },
                           [&] { return s.try_acquire_shared_until(until, stop); });
        }
        case lock_mode::permit: {
            semaphore s{*locks_, request_.name, request_.permits};
            return bounded([&] { return s.try_acquire(); }, [&] { return s.try_acquire_until(until, stop); });
        }
        default: {
            mutex m{*locks_, request_.name};
            return bounded([&] { return m.try_acquire(); }, [&] { return m.try_acquire_until(until, stop); });
        }
    }
}

std::string lock_seeker::holders() const {
    const auto full_name = request_.opt.key_prefix + request_.name;
    std::string text;
    try {
        for (const auto& lock : locks_->status(full_name)) {
            if (lock.name != full_name) continue;  // one that only begins like it
            for (const auto& h : lock.holders)
                text += fmt::format("{}{} since {}", text.empty() ? "" : ", ", h.owner, local_time(h.since));
        }
    } catch (...) {
        text.clear();  // it is a courtesy; that the lock is busy is certain without it
    }
    return text;
}

}  // namespace rowlock::cli
