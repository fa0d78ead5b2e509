#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <rowlock/backend.hpp>

#include <admission.hpp>
#include <busy_names.hpp>
#include <condition.hpp>
#include <request_id_hash.hpp>
#include <waiting_room.hpp>

#include "advisory_sql.hpp"
#include "advisory_status.hpp"
#include "session_source.hpp"

namespace rowlock::postgres {

/// Advisory locks in sessions of the provider's own. https://www.postgresql.org/docs/current/explicit-locking.html
///
/// To PostgreSQL the locks of one session do not exclude each other; that is done here, before the server is asked. The
/// first waiter of each name waits in the server, the others behind it.
class advisory_backend : public backend {
public:
    static constexpr std::string_view name = "postgresql+advisory";

    /// Connects, to see that it can.
    /// @param fencing grants have tokens, for which the database must have been migrated
    /// @throws connection_error; unsupported if there is a transaction pooler in between
    advisory_backend(const conninfo& to, bool fencing, deadline d);
    ~advisory_backend() override;

protected:
    /// With sessions from elsewhere, which are made when the back end is ready to hear of their end.
    using make_source = std::function<std::unique_ptr<session_source>(session_source::gone_function)>;
    advisory_backend(const make_source& make, bool fencing);

    // One name, as far as this provider has to do with it.
    struct name_state {
        detail::holders held{};
        std::vector<std::pair<const member*, std::size_t>> sharing{};  ///< how often each session shares it
        std::vector<std::int64_t> permits{};
    };
    using name_map = std::map<std::string, name_state, std::less<>>;
    struct holding {
        name_map::iterator of;
        std::string owner;
        advisory_lock lock;
        std::shared_ptr<member> at;
        std::optional<fencing_token> token;
        std::thread::id by = std::this_thread::get_id();
        std::chrono::system_clock::time_point since = std::chrono::system_clock::now();
    };

    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;
    std::vector<lock_status> do_inspect(std::string_view prefix, deadline d) override;
    bool do_break(std::string_view name, std::string_view reason, std::string_view by, deadline d) override;
    std::size_t do_purge(std::chrono::milliseconds idle, deadline d) override;
    void do_listen(listener* l) override;

    /// Those who wait, but not in the server while it is asked for them.
    virtual void add_unseen_waiters(advisory_status& status) const;

    /// A try, unless others wait, and a place behind them if it is in vain.
    std::optional<grant> ask_now(const lock_request& r, deadline d);
    /// @param head this session is the head of the queue for permits
    std::optional<grant> attempt(const lock_request& r, deadline d, bool head = false);
    std::optional<grant> wait_here(const lock_request& r, const session_source::use& here, const wait_bound& w,
                                   std::chrono::milliseconds operation_timeout);
    [[nodiscard]] static fencing_token token_after_wait(const lock_request& r, const advisory_lock& l,
                                                        const session_source::use& here,
                                                        std::chrono::milliseconds operation_timeout);
    grant record(const lock_request& r, const advisory_lock& l, const session_source::use& u,
                 std::optional<fencing_token> token);
    [[nodiscard]] std::optional<grant> look_up(const request_id& id) const;
    /// Under the lock.
    [[nodiscard]] std::optional<grant> held_by(const request_id& id) const;
    /// Under the lock: whether somebody of this provider stands in the way.
    [[nodiscard]] bool admits(const lock_request& r) const;
    void forget(const request_id& id);
    [[nodiscard]] std::vector<std::int64_t> choose_permits(const lock_request& r, const lock_keys& keys,
                                                           std::vector<std::int64_t> taken, std::size_t most);
    void session_gone(member& m, const std::string& why);

    const bool fencing_;
    mutable std::mutex mutex_;
    std::unordered_map<request_id, holding, detail::request_id_hash> holdings_;
    name_map names_;
    detail::condition forgotten_;  ///< a lock was given back, or lost
    std::minstd_rand random_{std::random_device{}()};

    detail::busy_names busy_;
    detail::waiting_room room_;

    std::mutex listening_;
    listener* listener_ = nullptr;
    const std::unique_ptr<session_source> source_;  // last: its threads end first
    session_source& sessions_ = *source_;
};

}  // namespace rowlock::postgres
