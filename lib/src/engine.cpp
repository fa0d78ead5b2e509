#include "engine.hpp"

#include <exception>
#include <random>
#include <stdexcept>
#include <thread>
#include <utility>

#include <rowlock/error.hpp>

#include "check_options.hpp"

namespace rowlock::detail {
namespace {

std::uint64_t random_number() {
    std::random_device source;
    return (std::uint64_t{source()} << 32) | source();
}

// The last owner of an engine may be a callback in one of its own threads, which cannot wait for itself.
void destroy(engine* e) {
    if (worker::runs_this_thread())
        std::thread{[e] { delete_unless_forked{}(e); }}.detach();
    else
        delete e;
}

}  // namespace

std::shared_ptr<engine> engine::make(std::unique_ptr<backend> b, options opt) {
    if (!b) throw std::invalid_argument{"a provider needs a back end"};
    check(opt);
    return {new engine{std::move(b), std::move(opt)}, [made_in = fork_generation()](engine* e) {
                if (fork_generation() == made_in) destroy(e);
            }};
}

engine::engine(std::unique_ptr<backend> b, options opt)
    : options_{std::move(opt)},
      backend_{std::move(b)},
      session_{random_number()},
      events_{options_.events, backend_->traits().name},
      keeper_{*backend_, options_, locks_, events_} {}

backend& engine::database() const {
    if (fork_generation() != made_in_)
        throw std::logic_error{"this provider was opened before fork(); open a new one in the child process"};
    return *backend_;
}

std::shared_ptr<held_lock> engine::new_lock(std::string_view name, lock_mode mode, std::uint32_t permits, bool queued) {
    return std::make_shared<held_lock>(
        lock_request{.name = std::string{name},
                     .mode = mode,
                     .permits = permits,
                     .id = {session_, next_number_.fetch_add(1, std::memory_order_relaxed)},
                     .owner = options_.owner,
                     .ttl = options_.ttl,
                     .queued = queued},
        options_.key_prefix.size());
}

lock_handle engine::hand_over(const std::shared_ptr<held_lock>& held, const grant& g, lock_mode mode) {
    held->granted(g, mode, events_.now());
    lock_handle handle{shared_from_this(), held};
    keeper_.watch(*held, g);
    return handle;
}

void engine::tell(event_sink::event_function what, const held_lock& h,
                  std::chrono::steady_clock::time_point started) const {
    if (!events_.heard()) return;
    auto e = h.event();
    e.duration = events_.now() - started;
    events_.tell(what, e);
}

std::optional<lock_handle> engine::acquire(std::string_view name, lock_mode mode, std::uint32_t permits,
                                           const wait_bound& w) {
    (void)database();
    const auto started = events_.now();
    const auto held = new_lock(name, mode, permits, !w.until.expired());

    locks_.add(held);  // before the grant, so that a loss right behind it finds whom to tell
    std::optional<grant> got;
    try {
        got = obtain(held->settled_request(), w);
    } catch (const cancelled&) {
        locks_.remove(*held);
        tell(&observer::cancelled, *held, started);
        throw;
    } catch (...) {
        locks_.remove(*held);
        throw;
    }
    if (!got) {
        locks_.remove(*held);
        tell(held->settled_request().queued ? &observer::timed_out : &observer::busy, *held, started);
        return std::nullopt;
    }
    auto handle = hand_over(held, *got, mode);
    tell(&observer::granted, *held, started);
    return handle;
}

// One question. An answer that was lost is asked for again with the same id, which finds the grant if there was one.
std::optional<grant> engine::ask(const lock_request& r) {
    try {
        return backend_->try_acquire(r, operation_deadline());
    } catch (const in_doubt_error&) {
        const auto doubt = std::current_exception();
        try {
            return backend_->try_acquire(r, operation_deadline());
        } catch (...) {  // whatever it is, the first question may have been granted
            std::rethrow_exception(doubt);
        }
    }
}

std::optional<grant> engine::obtain(const lock_request& r, const wait_bound& w) {
    const auto cancel = [&] {
        throw cancelled{"waiting for \"" + r.name + "\" was cancelled",
                        {.lock_name = r.name, .backend = std::string{backend_->traits().name}}};
    };
    if (w.stop.stop_requested()) cancel();
    std::optional<grant> got;
    try {
        got = ask(r);
        if (got || !r.queued) return got;
        while (!got && !w.over()) got = backend_->await(r, w, options_.operation_timeout);
        if (!got) got = backend_->abandon(r, operation_deadline());
    } catch (const in_doubt_error&) {
        keeper_.owe(r);
        throw;
    } catch (const connection_error&) {
        if (r.queued) keeper_.owe(r);
        if (w.stop.stop_requested()) cancel();  // how the wait ended does not matter any more
        throw;
    } catch (...) {
        if (r.queued) keeper_.owe(r);
        throw;
    }
    if (!got && w.stop.stop_requested()) cancel();
    return got;
}

bool engine::upgrade(held_lock& h, const wait_bound& w) {
    (void)database();
    auto r = h.request();
    if (r.mode != lock_mode::upgrade || h.now() == held_lock::phase::released)
        throw std::logic_error{"only a lock that is held in mode upgrade can be upgraded"};
    const auto refuse_if_lost = [&] {
        look_at_the_clock(h);
        if (h.now() == held_lock::phase::lost)
            throw lock_lost{"the lock \"" + r.name + "\" was lost before it could be upgraded: " + h.detail(),
                            {.lock_name = r.name, .backend = std::string{backend_->traits().name}}};
    };
    refuse_if_lost();
    r.mode = lock_mode::exclusive;
    r.upgrade = true;
    r.queued = !w.until.expired();
    // The lease can end while it waits to become exclusive; then there is nothing to wait for.
    std::stop_source give_up;
    const std::stop_callback by_caller{w.stop, [&] { give_up.request_stop(); }};
    const std::stop_callback by_loss{h.lost(), [&] { give_up.request_stop(); }};
    std::optional<grant> got;
    try {
        got = obtain(r, {w.until, give_up.get_token()});
    } catch (const cancelled&) {
        refuse_if_lost();
        throw;
    }
    if (!got) {
        refuse_if_lost();
        return false;
    }
    h.granted(*got, lock_mode::exclusive, events_.now());
    keeper_.watch(h, *got);
    return true;
}

void engine::release(held_lock& h) {
    look_at_the_clock(h);  // a lease that ended unnoticed was lost, not released
    auto e = events_.heard() ? h.event() : lock_event{};
    const auto before = h.release();
    if (before == held_lock::phase::released) return;
    const auto& r = h.settled_request();
    locks_.remove(h);
    try {
        backend_->release(r, operation_deadline());
    } catch (const std::exception& failure) {
        if (before == held_lock::phase::lost) return;  // was told already, and is not ours to give back
        keeper_.owe(r);
        e.detail = failure.what();
        events_.tell(&observer::release_failed, e);
        throw;
    }
    if (before == held_lock::phase::held) events_.tell(&observer::released, e);
}

void engine::release_quietly(held_lock& h) noexcept {
    try {
        release(h);
    } catch (...) {  // the observer was told, and the release is tried again
    }
}

void engine::verify(held_lock& h) {
    (void)database();
    if (h.now() == held_lock::phase::released) throw std::logic_error{"the lock has been released"};
    const auto r = h.request();
    if (h.now() == held_lock::phase::held) {
        auto answer = backend_->verify(r, operation_deadline());
        if (answer.held && backend_->traits().renewed_by_verify) h.extended(answer.expires_at);
        if (answer.held) return;
        h.lose(answer.reason, std::move(answer.detail), events_);
    }
    throw lock_lost{"the lock \"" + r.name + "\" is lost: " + h.detail(),
                    {.lock_name = r.name, .backend = std::string{backend_->traits().name}}};
}

bool engine::break_lock(std::string_view name, std::string_view reason) {
    const bool broken = database().break_lock(name, reason, options_.owner, operation_deadline());
    // No other thread may ask what became of one's own.
    if (broken && backend_->traits().renewed_by_verify) (void)keeper_.renew_all();
    return broken;
}

}  // namespace rowlock::detail
