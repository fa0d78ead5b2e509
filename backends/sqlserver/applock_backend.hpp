#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <rowlock/backend.hpp>

#include <admission.hpp>
#include <connection_source.hpp>
#include <waiting_room.hpp>

#include "applock_session.hpp"

namespace rowlock::sqlserver {

/// Application locks of sessions. resource_name.hpp has which ones stand for what.
///
/// To SQL Server the locks of one session do not exclude each other, and a lock that was taken in two modes stays in
/// the stronger one to the end. So no session holds a name in two modes, or exclusively twice: those of one provider
/// who hold the same name in different modes do so in different sessions, and the server keeps them apart.
///
/// The first waiter of each name waits in the server, the others behind it. An upgrade lock has a session of its own,
/// because the wait for its conversion takes place in that, and nothing may queue behind it.
class applock_backend : public backend {
public:
    static constexpr std::string_view name = "sqlserver+applock";

    /// With sessions of the provider's own. Connects, to see that it can.
    /// @throws connection_error
    applock_backend(const std::string& connection_string, deadline d);
    ~applock_backend() override;

protected:
    using source = detail::connection_source<applock_session>;
    using member = source::member;
    using use = source::use;

    /// With sessions from elsewhere, which are made when the back end is ready to hear of their end.
    using make_source = std::function<std::unique_ptr<source>(odbc::canceler&, source::gone_function)>;
    explicit applock_backend(const make_source& make);

    struct holding {
        lock_request request;
        std::shared_ptr<member> at;
        std::string permit{};    ///< the resource of the permit
        std::optional<use> own;  ///< an upgrade lock keeps its session
        bool converted = false;  ///< taken twice, in two modes
        std::thread::id by = std::this_thread::get_id();
    };
    // One name, as far as this provider has to do with it.
    struct name_state {
        detail::holders held{};
        std::vector<std::pair<std::shared_ptr<member>, std::size_t>> sharing{};  ///< how often each session shares it
        std::vector<std::string> permits{};
    };
    struct hash {
        std::size_t operator()(const request_id& id) const noexcept { return id.provider ^ id.number; }
    };

    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;
    void do_listen(listener* l) override;

    std::optional<grant> attempt(const lock_request& r, deadline d);
    std::optional<grant> attempt_permit(const lock_request& r, const use& here, deadline d);
    virtual std::optional<grant> share_again(const lock_request& r, const std::shared_ptr<member>& at, deadline d);
    std::optional<grant> take_permit(const lock_request& r, const use& here, deadline d);
    std::optional<grant> wait_here(const lock_request& r, use here, const wait_bound& w,
                                   std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_for_permit(const lock_request& r, const use& here, const wait_bound& w,
                                         std::chrono::milliseconds operation_timeout);
    std::optional<grant> convert(const lock_request& r, std::optional<std::chrono::milliseconds> wait, deadline d,
                                 const std::stop_token& stop);

    grant record(const lock_request& r, const use& u, std::string permit = {});
    grant record_upgrade(const lock_request& r, use u);
    [[nodiscard]] std::optional<grant> held_by(const lock_request& r) const;
    [[nodiscard]] bool admits(const lock_request& r) const;
    [[nodiscard]] std::shared_ptr<member> sharing(const lock_request& r) const;
    void forget(const request_id& id);
    [[nodiscard]] std::vector<std::string> choose_permits(const lock_request& r);
    void session_gone(member& m, const std::string& why);

    odbc::canceler canceler_;

    mutable std::mutex mutex_;
    std::condition_variable_any forgotten_;  ///< a lock was given back, or lost
    std::minstd_rand random_{std::random_device{}()};
    detail::waiting_room room_;

    std::mutex listening_;
    listener* listener_ = nullptr;
    const std::unique_ptr<source> source_;
    source& sessions_ = *source_;
    // Below the sessions, as some of these keep one.
    std::unordered_map<request_id, holding, hash> holdings_;
    std::map<std::string, name_state, std::less<>> names_;
};

}  // namespace rowlock::sqlserver
