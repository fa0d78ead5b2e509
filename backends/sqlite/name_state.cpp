#include "name_state.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <rowlock/error.hpp>

#include <admission.hpp>

namespace rowlock::sqlite {
namespace {

using namespace std::chrono_literals;

// Moves those for which `is_dead` holds from one list to the other, keeping the order of the rest.
template <class Row, class IsDead>
void set_apart(std::vector<Row>& rows, std::vector<Row>& dead, IsDead is_dead) {
    const auto first_dead = std::stable_partition(rows.begin(), rows.end(), [&](const Row& r) { return !is_dead(r); });
    dead.insert(dead.end(), std::make_move_iterator(first_dead), std::make_move_iterator(rows.end()));
    rows.erase(first_dead, rows.end());
}

bool same(const ticket_row& t, const lock_request& r) {
    return t.request.id == r.id && t.request.upgrade == r.upgrade;
}

}  // namespace

name_state::name_state(lease_store& store, const arena& here, std::int64_t token_floor, const std::string& name)
    : name_state{store, here, token_floor, name, store.tickets(name)} {}

name_state::name_state(lease_store& store, const arena& here, std::int64_t token_floor, const std::string& name,
                       std::vector<ticket_row> queue)
    : store_{store},
      here_{here},
      token_floor_{token_floor},
      name_{name},
      now_{boot_clock::now()},
      leases_{store.leases(name)},
      queue_{std::move(queue)} {
    // A process whose death cannot be seen from here holds until its lease ends, but cannot be woken either, so it
    // has no place in the queue: it takes a new one when it looks again.
    const auto lease_is_dead = [&](const lease_row& l) { return l.expires_at <= now_ || !here_.may_live(l.process); };
    if (std::any_of(leases_.begin(), leases_.end(), lease_is_dead)) set_apart(leases_, dead_leases_, lease_is_dead);
    find_dead_tickets();
}

void name_state::find_dead_tickets() {
    const auto is_dead = [&](const ticket_row& t) {
        if (!here_.sees(t.process) || !here_.may_live(t.process)) return true;
        return t.request.upgrade && !is_held_by(t.request.id);  // its own lease ended: it waits for nothing
    };
    if (std::any_of(queue_.begin(), queue_.end(), is_dead)) set_apart(queue_, dead_tickets_, is_dead);
}

std::optional<grant> name_state::attempt(const lock_request& r) {
    if (auto got = lease_of(r)) return got;
    if (r.upgrade && !is_held_by(r.id))
        throw lock_lost{"the lock \"" + r.name + "\" was lost before it could be upgraded",
                        {.lock_name = r.name, .backend = "sqlite"}};
    settle();
    if (auto got = lease_of(r)) return got;
    if (ticket_of(r) != queue_.end()) return std::nullopt;
    if ((queue_.empty() || r.upgrade) && admits(r)) return give(r, here_.self());
    if (r.queued) store_.add_ticket(r, here_.self());
    return std::nullopt;
}

std::optional<grant> name_state::leave(const lock_request& r) {
    if (auto got = lease_of(r)) return got;
    if (const auto mine = ticket_of(r); mine != queue_.end()) {
        store_.remove_ticket(name_, *mine);
        queue_.erase(mine);
        settle();  // whoever stood behind may be able to go
    }
    return std::nullopt;
}

void name_state::settle() {
    for (const auto& l : dead_leases_) store_.remove_lease(name_, l.token);
    for (const auto& t : dead_tickets_) store_.remove_ticket(name_, t);
    dead_leases_.clear();
    dead_tickets_.clear();
    std::size_t granted = 0;
    for (; granted < queue_.size() && admits(queue_[granted].request); ++granted) {
        const auto& next = queue_[granted];
        give(next.request, next.process);
        store_.remove_ticket(name_, next);
        served_.push_back(next.request.id);
    }
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(granted));
}

std::vector<lease_row> name_state::break_all(const std::string& reason, const std::string& by) {
    auto broken = std::exchange(leases_, {});
    for (const auto& l : broken) {
        store_.record_break(name_, l, reason, by);
        store_.remove_lease(name_, l.token);
    }
    if (!broken.empty()) (void)store_.next_token(name_, token_floor_);
    find_dead_tickets();  // those who waited to upgrade what is broken now
    settle();
    return broken;
}

name_state::outlook name_state::look(const lock_request& r) const {
    if (auto got = lease_of(r)) return {.got = got};
    const auto mine = std::find_if(queue_.begin(), queue_.end(), [&](const auto& t) { return same(t, r); });
    if (mine == queue_.end() || !dead_leases_.empty() || !dead_tickets_.empty()) return {.try_again = true};
    if (mine == queue_.begin() && admits(r)) return {.try_again = true};
    // Whoever will hold the name when it is our turn holds it now, or stands before us: nobody need tell us when we
    // get to the head. The nearest first, in case there are more than can be watched.
    outlook o{.look_again_at = now_ + r.ttl};
    for (auto before = mine; before != queue_.begin();) o.watch.push_back((--before)->process);
    for (const auto& l : leases_) {
        o.watch.push_back(l.process);
        o.look_again_at = std::min(o.look_again_at, l.expires_at + 1ms);
    }
    return o;
}

std::optional<grant> name_state::lease_of(const lock_request& r) const {
    const auto mine = std::find_if(leases_.begin(), leases_.end(),
                                   [&](const lease_row& l) { return l.id == r.id && l.mode == r.mode; });
    if (mine == leases_.end()) return std::nullopt;
    return grant{.token = mine->token, .expires_at = mine->expires_at};
}

bool name_state::is_held_by(const request_id& id) const {
    return std::any_of(leases_.begin(), leases_.end(), [&](const auto& l) { return l.id == id; });
}

bool name_state::admits(const lock_request& r) const {
    detail::holders count;
    for (const auto& l : leases_) count.add(l.mode);
    return count.admit(r);
}

std::vector<ticket_row>::iterator name_state::ticket_of(const lock_request& r) {
    return std::find_if(queue_.begin(), queue_.end(), [&](const auto& t) { return same(t, r); });
}

grant name_state::give(const lock_request& r, const process_mark& process) {
    if (r.upgrade) {  // the lease goes on under a new token
        store_.remove_lease(name_, r.id);
        std::erase_if(leases_, [&](const auto& l) { return l.id == r.id; });
    }
    const lease_row fresh{.token = store_.next_token(name_, token_floor_),
                          .mode = r.mode,
                          .id = r.id,
                          .owner = r.owner,
                          .process = process,
                          .expires_at = now_ + r.ttl,
                          .since = std::chrono::system_clock::now()};
    store_.add_lease(name_, fresh);
    leases_.push_back(fresh);
    return {.token = fresh.token, .expires_at = fresh.expires_at};
}

}  // namespace rowlock::sqlite
