#include "sqlite_backend.hpp"

#include <algorithm>
#include <stop_token>
#include <utility>

#include "host.hpp"

namespace rowlock::sqlite {
namespace {

// A token is the number of the host's boot, and below it 40 bits of count: 2^40 grants of a name in one boot, 2^23
// boots. The number is made durable before the boot's first grant, so a power cut that takes the last commits away
// takes no token back.
constexpr int count_bits = 40;

}  // namespace

sqlite_backend::sqlite_backend(std::shared_ptr<connection> front, std::shared_ptr<connection> back,
                               std::shared_ptr<arena> here, deadline d)
    : front_{std::move(front)}, back_{std::move(back)}, here_{std::move(here)} {
    const auto boot = boot_id();
    std::int64_t number = 0;
    if (back_->read(d, [&](lease_store& s) { return s.knows_boot(boot); }))
        number = back_->read(d, [&](lease_store& s) { return s.enter_boot(boot); });
    else
        number = back_->write_durably(d, [&](lease_store& s) { return s.enter_boot(boot); });
    token_floor_ = number << count_bits;
}

sqlite_backend::~sqlite_backend() { do_listen(nullptr); }

backend_traits sqlite_backend::do_traits() const {
    return {.name = "sqlite",
            .shared_mutex = true,
            .upgrade_mutex = true,
            .semaphore = true,
            .leases = true,
            .fair = true,
            .tokens = true};
}

void sqlite_backend::ring(const std::vector<request_id>& served) const {
    for (const auto& id : served) here_->ring(id);
}

std::optional<grant> sqlite_backend::do_try_acquire(const lock_request& r, deadline d) {
    // A try that follows a busy one is most likely busy as well, and can be told so by one statement.
    if (!r.queued && !r.upgrade && busy_lately_.load(std::memory_order_relaxed) &&
        front_->peek(d, [&](lease_store& store) {
            return name_state{store, *here_, token_floor_, r.name, store.holders(r.name)}.refuses(r);
        }))
        return std::nullopt;
    auto got = attempt(*front_, r, d);
    busy_lately_.store(!got, std::memory_order_relaxed);
    return got;
}

std::optional<grant> sqlite_backend::attempt(connection& c, const lock_request& r, deadline d) const {
    auto [got, served] = c.read(d, [&](lease_store& store) {
        auto state = state_of(store, r.name);
        auto grant = state.attempt(r);
        return std::pair{grant, state.served()};
    });
    ring(served);
    return got;
}

several_grants sqlite_backend::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    const auto [got, served] = front_->read(d, [&](lease_store& store) {
        several_grants grants;
        std::vector<request_id> woken;
        const auto note = [&](const name_state& s) { woken.insert(woken.end(), s.served().begin(), s.served().end()); };
        for (const auto& r : all) {
            auto state = state_of(store, r.name);
            const auto one = state.attempt(r);
            note(state);
            if (!one) break;
            grants.all.push_back(*one);
        }
        grants.busy = grants.all.size();
        if (grants.busy == all.size()) return std::pair{grants, woken};
        grants.all.clear();
        for (const auto& r : all.first(grants.busy)) store.remove_lease(r.name, r.id);  // nobody has seen them
        return std::pair{grants, woken};
    });
    ring(served);
    return got;
}

std::optional<grant> sqlite_backend::do_await(const lock_request& r, const wait_bound& w,
                                              std::chrono::milliseconds operation_timeout) {
    const std::stop_callback on_stop{w.stop, [&] { here_->ring(r.id); }};
    const auto& bell = here_->bell_of(r.id);
    while (!w.over()) {
        const auto seen = bell.load();  // before looking, so that a ring in between is not slept through
        const auto outlook = back_->read(deadline::after(operation_timeout),
                                         [&](lease_store& store) { return state_of(store, r.name).look(r); });
        if (outlook.got) return outlook.got;
        if (outlook.try_again) return attempt(*back_, r, deadline::after(operation_timeout));
        if (w.stop.stop_requested()) break;
        here_->wait(r.id, seen, outlook.watch,
                    std::min(w.until, deadline::after(outlook.look_again_at - boot_clock::now())));
    }
    return std::nullopt;
}

std::optional<grant> sqlite_backend::do_abandon(const lock_request& r, deadline d) {
    auto [got, served] = way_back().write(d, [&](lease_store& store) {
        auto state = state_of(store, r.name);
        auto grant = state.leave(r);
        return std::pair{grant, state.served()};
    });
    ring(served);
    return got;
}

void sqlite_backend::do_release(const lock_request& r, deadline d) {
    ring(way_back().write(d, [&](lease_store& store) {
        store.remove_lease(r.name, r.id);
        auto state = state_of(store, r.name);
        state.settle();
        return state.served();
    }));
}

renewal sqlite_backend::lost(lease_store& store, const request_id& id) {
    if (auto who = store.break_of(id); !who.empty())
        return {.held = false, .reason = loss_reason::broken, .detail = std::move(who)};
    return {.held = false, .reason = loss_reason::expired, .detail = "the lease ended before it was renewed"};
}

std::vector<renewal> sqlite_backend::do_renew(std::span<const lock_request* const> held, deadline d) {
    return back_->write(d, [&](lease_store& store) {
        const auto now = boot_clock::now();  // with the write lock in hand: what has ended by now stays ended
        const auto end = now + held.front()->ttl;
        const auto renewed = store.renew(held, now, end);
        std::vector<renewal> answers;
        answers.reserve(held.size());
        for (const auto* r : held)
            answers.push_back(renewed.contains(r->id.number) ? renewal{.held = true, .expires_at = end}
                                                             : lost(store, r->id));
        return answers;
    });
}

renewal sqlite_backend::do_verify(const lock_request& r, deadline d) {
    return back_->read(
        d, [&](lease_store& store) { return store.is_held(r, boot_clock::now()) ? renewal{} : lost(store, r.id); });
}

std::vector<lock_status> sqlite_backend::do_inspect(std::string_view prefix, deadline d) {
    return back_->read(d, [&](lease_store& store) {
        std::vector<lock_status> all;
        for (const auto& name : store.names_in_use()) {
            if (!name.starts_with(prefix)) continue;
            auto state = state_of(store, name);
            if (state.holders().empty() && state.queue().empty()) continue;
            auto& status = all.emplace_back(lock_status{.name = name});
            for (const auto& c : state.holders())
                status.holders.push_back(
                    {.mode = c.request.mode,
                     .owner = c.request.owner,
                     .token = c.token(),
                     .since = c.since,
                     .expires_in = std::chrono::duration_cast<std::chrono::milliseconds>(c.expires_at - state.now())});
            for (const auto& c : state.queue())
                status.waiters.push_back({.mode = c.request.mode, .owner = c.request.owner, .since = c.since});
        }
        return all;
    });
}

bool sqlite_backend::do_break(std::string_view name, std::string_view reason, std::string_view by, deadline d) {
    const auto [broken, served] = back_->write(
        d, [&, name = std::string{name}, reason = std::string{reason}, by = std::string{by}](lease_store& store) {
            auto state = state_of(store, name);
            auto holders = state.break_all(reason, by);
            return std::pair{std::move(holders), state.served()};
        });
    for (const auto& c : broken) here_->alarm(c.process);
    ring(served);
    return !broken.empty();
}

std::size_t sqlite_backend::do_purge(std::chrono::milliseconds idle, deadline d) {
    const auto [count, served] = back_->write(d, [&](lease_store& store) {
        std::vector<request_id> all;
        for (const auto& name : store.names_in_use()) {  // the dead do not keep a name in use
            auto state = state_of(store, name);
            state.settle();
            all.insert(all.end(), state.served().begin(), state.served().end());
        }
        return std::pair{store.purge(std::chrono::system_clock::now() - idle), std::move(all)};
    });
    ring(served);
    return count;
}

void sqlite_backend::do_listen(listener* l) {
    if (alarm_ != 0) here_->off_alarm(std::exchange(alarm_, 0));
    if (l) alarm_ = here_->on_alarm([l] { l->on_doubt(); });
}

}  // namespace rowlock::sqlite
