#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <rowlock/backend.hpp>

#include "busy_names.hpp"
#include "connection_source.hpp"
#include "lease_answer.hpp"
#include "no_answer.hpp"
#include "request_id_hash.hpp"
#include "wait_result.hpp"
#include "waiting_room.hpp"

namespace rowlock::detail {

/// Row leases in a database whose sessions can wait for locks of their own. The row is the truth. Beside it two such
/// locks of the name say who waits: the head of the queue holds one, so the others wait for it in the server, in the
/// order in which they came; who holds the lease holds the other, the bell, so the head waits for that, and is woken by
/// the release or by the end of the holder's session, and looks again when the lease must have run out.
///
/// Where sessions cannot hold anything (behind a transaction pooler) everybody who waits asks again, after pauses by
/// chance.
///
/// The statements, and nothing that is decided here, are the `Store`'s. It has
///  - `name` and `server`, for messages, `session`, and `keys`: the two locks of a name, made by `keys_of(name)`;
///  - on a session `s`, few round trips each, mostly one, by a deadline, or throwing `no_answer` where the session is
///  lost and other
///    errors where it is not:
///    `is_taken(s, name)` whether somebody holds it exclusively, for a fraction of a try;
///    `take(s, request, keys, manners)`, `upgrade(s, request)`: a `lease_answer`;
///    `announce_upgrade(s, request, waits)` lets nobody else in while it waits to upgrade;
///    `reap(s, name)` frees what those have whose lease has run out; false: some of it was being written;
///    `release(s, request, keys, bell)`, also of the bell if this session has it;
///    `find(s, request)`: a `found_lease`, or empty;
///    `renew(s, requests)`: the numbers of those it moved; `breaks(s, provider, numbers)`: who broke them, and why;
///    `break_all`, `purge`: how many; `rows(s, prefix)`: `lease_row`s; `waiters(s, names)`: whom the server sees wait,
///    with the names; `sees_waiters` says whether it does;
///  - `waits_at_once`: to wait costs no more than to try, so that who knows that it is busy need not;
///  - `tells_of_breaks`: every provider is told of them; otherwise this one, and others when they renew;
///  - `release_bell(s, mode, keys)`, `leave_queue(s, keys)`, and `unlock_all(s, keys)`: whatever a wait has taken;
///  - `wait_for_queue(sessions, use, keys, bound, timeout)` and `wait_for_bell(sessions, use, keys, shared, bound,
///    timeout)`, which wait in the server: a `wait_result`; and `wait_for_both(sessions, use, keys, shared, bound,
///    patience, timeout)`, one after the other, but no longer than `patience` for the bell: a `queue_place`. Where they
///    throw `no_answer`, the session is not to be looked at again.
///
/// Its members are in row_leases_taking.hpp, _waiting and _holding, for the one source that instantiates it.
template <class Store>
class row_leases : public backend {
public:
    using session = typename Store::session;
    using source = connection_source<session>;
    using member = typename source::member;
    using use = typename source::use;
    using keys = typename Store::keys;

    static constexpr std::string_view name = Store::name;

    row_leases(const row_leases&) = delete;
    row_leases& operator=(const row_leases&) = delete;

protected:
    /// @param make opens the sessions; what it is given is to be called when one has ended
    /// @param sessions_wait a session can hold locks, and wait for them
    row_leases(Store store, bool sessions_wait,
               const std::function<std::unique_ptr<source>(typename source::gone_function)>& make);
    ~row_leases() override;

    /// Whoever listens should look at all leases.
    void doubt();
    [[nodiscard]] source& sessions() const noexcept { return *sessions_; }

    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    std::vector<renewal> do_renew(std::span<const lock_request* const> held, deadline d) override;
    backend_traits do_traits() const override;
    void do_listen(listener* l) override;

private:
    struct holding {
        lock_mode mode;
        keys k;
        std::shared_ptr<member> bell;  ///< the session that holds the bell; null: none does
        lock_mode bell_mode;
    };
    struct attempt_result {
        std::optional<grant> got{};
        bool left_queue = false;
        std::chrono::milliseconds expires_in{};
    };
    class place_in_queue;

    template <class>
    friend class row_leases_at_once;

    /// There is a lease to hear of now, granted in that session.
    virtual void do_begin_to_hold(const member& /*in*/) {}

    renewal do_verify(const lock_request& r, deadline d) override;
    std::vector<lock_status> do_inspect(std::string_view prefix, deadline d) override;
    bool do_break(std::string_view n, std::string_view reason, std::string_view by, deadline d) override;
    std::size_t do_purge(std::chrono::milliseconds idle, deadline d) override;

    std::optional<grant> ask_now(const lock_request& r, deadline d);
    attempt_result attempt(const use& here, const lock_request& r, lease_manners m, deadline d);
    std::optional<grant> settle(const lock_request& r, deadline d);
    [[nodiscard]] bool is_in_doubt(const lock_request& r) const;
    void settled(std::span<const lock_request> all);
    std::optional<grant> await_upgrade(const lock_request& r, const wait_bound& w, std::chrono::milliseconds timeout);
    /// @param asked the database was asked for it before
    std::optional<grant> queue_in_server(const use& here, const lock_request& r, bool asked, const wait_bound& w,
                                         std::chrono::milliseconds timeout);
    void record(const lock_request& r, const keys& k, std::shared_ptr<member> bell);
    std::optional<holding> take_holding(const request_id& id);
    use session_of_bell(const request_id& id, const holding& h, deadline d);
    [[nodiscard]] bool is_known(const request_id& id) const;
    void give_bell_back(const holding& h, deadline d);
    [[noreturn]] void in_doubt(std::span<const lock_request> asked);
    renewal loss_of(session& s, const lock_request& r, deadline d);
    void session_gone(const member& m);
    static error_context about(const lock_request& r) { return {.lock_name = r.name, .backend = std::string{name}}; }

    // Others are writing these rows at this moment; a commit or two, and it can be seen who has the lock. False: they
    // take too long for that.
    static bool let_others_write(int tries, deadline d) {
        if (tries >= 20 || d.expired()) return false;
        std::this_thread::sleep_for(std::chrono::microseconds{200 * (tries + 1)});
        return true;
    }

    // For what may be asked twice: sessions may have died that nobody has heard of yet.
    template <class Question>
    auto ask_any(deadline d, Question question) {
        for (int tries = 1;; ++tries) {
            try {
                return question(*sessions_->any(d));
            } catch (const no_answer&) {
                if (tries == 5 || d.expired()) throw;
            }
        }
    }

    const Store store_;
    const bool sessions_wait_;
    mutable std::mutex mutex_;
    std::unordered_map<request_id, holding, request_id_hash> holdings_;
    std::unordered_set<request_id, request_id_hash> in_doubt_;
    busy_names busy_;
    waiting_room room_;

    std::mutex listening_;
    listener* listener_ = nullptr;
    const std::unique_ptr<source> sessions_;  // last: its threads end first
};

}  // namespace rowlock::detail
