#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <rowlock/backend.hpp>
#include <rowlock/options.hpp>

#include <admission.hpp>
#include <request_id_hash.hpp>
#include <waiting_room.hpp>

#include "applock_pulse.hpp"

namespace rowlock::sqlserver {

/// Application locks of sessions of the provider's own. resource_name.hpp has which ones stand for what.
///
/// To SQL Server the locks of one session do not exclude each other, and a lock that was taken in two modes stays in
/// the stronger one to the end. So no session holds a name in two modes, or exclusively twice: those of one provider
/// who hold the same name in different modes do so in different sessions, and the server keeps them apart.
///
/// The first waiter of each name waits in the server, the others behind it. An upgrade lock has a session of its own,
/// because the wait for its conversion takes place in that, and nobody else may queue behind it.
class applock_backend final : public backend {
public:
    static constexpr std::string_view name = "sqlserver+applock";

    /// Connects, to see that it can. With `options::fencing` grants have tokens, for which the database must have been
    /// migrated.
    /// @throws connection_error
    applock_backend(const std::string& connection_string, const options& opt);
    /// Gives back what is left, and closes the connections. Blocks for two operation timeouts at most: a driver that
    /// hangs then is left to itself.
    ~applock_backend() override;

private:
    using pool = applock_pool;
    using member = pool::member;

    struct holding {
        lock_request request;
        std::shared_ptr<member> at;
        std::string permit{};  ///< the resource of the permit
        std::optional<fencing_token> token{};
        bool converted = false;  ///< taken twice, in two modes
        std::chrono::system_clock::time_point since = std::chrono::system_clock::now();
    };
    // One name, as far as this provider has to do with it.
    struct name_state {
        detail::holders held{};
        std::vector<std::pair<std::shared_ptr<member>, std::size_t>> times{};  ///< how often each session holds it
        std::vector<std::string> permits{};
    };
    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;
    std::vector<lock_status> do_inspect(std::string_view prefix, deadline d) override;
    bool do_break(std::string_view n, std::string_view reason, std::string_view by, deadline d) override;
    std::size_t do_purge(std::chrono::milliseconds idle, deadline d) override;
    void do_listen(listener* l) override;

    static void check_time(const lock_request& r, deadline d);
    std::optional<grant> attempt(const lock_request& r, deadline d);
    std::optional<grant> attempt_permit(const lock_request& r, const pool::use& here, deadline d);
    std::optional<grant> share_again(const lock_request& r, const std::shared_ptr<member>& at, deadline d);
    std::optional<grant> take_permit(const lock_request& r, const pool::use& here, const wait_bound& w, deadline d);
    std::optional<grant> wait_here(const lock_request& r, const pool::use& here, const wait_bound& w,
                                   std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_for_permit(const lock_request& r, const pool::use& here, const wait_bound& w,
                                         std::chrono::milliseconds operation_timeout);
    std::optional<grant> try_convert(const lock_request& r, deadline d);
    std::optional<grant> wait_converting(const lock_request& r, const wait_bound& w,
                                         std::chrono::milliseconds operation_timeout);
    [[nodiscard]] std::shared_ptr<member> to_convert(const lock_request& r) const;
    grant converted(const lock_request& r, const pool::use& here, deadline d);

    /// Of what this session has just got; if there is no token to be had, it is given back.
    grant record(const lock_request& r, const pool::use& u, deadline d, const std::string& permit = {});
    [[nodiscard]] std::optional<grant> held_by(const lock_request& r) const;
    [[nodiscard]] bool admits(const lock_request& r) const;
    [[nodiscard]] std::shared_ptr<member> sharing(const lock_request& r) const;
    [[nodiscard]] bool shares(std::string_view n, const std::shared_ptr<member>& at);
    [[nodiscard]] std::size_t times_held(std::string_view name, const std::shared_ptr<member>& at);
    [[nodiscard]] static auto entry_of(name_state& n, const std::shared_ptr<member>& at) {
        return std::find_if(n.times.begin(), n.times.end(), [&](const auto& t) { return t.first == at; });
    }
    [[nodiscard]] bool get_here(const lock_request& r, const pool::use& here, const std::string& resource,
                                std::string_view mode, deadline d);
    [[nodiscard]] bool is_converted(const request_id& id) const;
    void forget(const request_id& id);
    [[nodiscard]] std::uint32_t where_to_start(const lock_request& r, std::vector<std::string>& own);
    void session_gone(member& m, const std::string& why);

    const std::chrono::milliseconds operation_timeout_;
    const bool fencing_;

    mutable std::mutex mutex_;
    std::minstd_rand random_{std::random_device{}()};
    detail::waiting_room room_;

    std::mutex listening_;
    listener* listener_ = nullptr;
    std::unordered_map<request_id, holding, detail::request_id_hash> holdings_;
    std::map<std::string, name_state, std::less<>> names_;
    pool sessions_;
    applock_pulse pulse_;  // last: it ends first
};

}  // namespace rowlock::sqlserver
