#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <rowlock/deadline.hpp>

#include <odbc/canceler.hpp>
#include <odbc/connection.hpp>
#include <odbc/statement.hpp>
#include <odbc/wide_text.hpp>

namespace rowlock::sqlserver {

/// The modes of applocks that are used here.
namespace applock_mode {
inline constexpr std::string_view exclusive = "Exclusive";
inline constexpr std::string_view shared = "Shared";
inline constexpr std::string_view update = "Update";
inline constexpr std::string_view intent_exclusive = "IntentExclusive";
}  // namespace applock_mode

/// Who an applock belongs to, and with whom it ends.
namespace applock_owner {
inline constexpr std::string_view session = "Session";
inline constexpr std::string_view transaction = "Transaction";
}  // namespace applock_owner

/// One connection, and the calls that take and release applocks of its session. They decide nothing about who may ask:
/// a session's second request for the same resource is granted at once, and must be released once more.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class applock_session {
public:
    /// @throws connection_error
    applock_session(const odbc::environment& e, odbc::canceler& c, const std::string& connection_string,
                    std::string_view backend, deadline d);
    /// On somebody else's connection, which is not closed here.
    /// @throws connection_error
    applock_session(SQLHDBC theirs, odbc::canceler& c, std::string_view backend,
                    std::string_view owner = applock_owner::session);

    /// How long the server is waited for at most before it is asked again. So a wait hears within that and the driver's
    /// timeout (FreeTDS: twice that) that its connection is dead, and a driver that lost its way in a cancellation lets
    /// go of it. Who waits for longer loses his place in the queue.
    static constexpr std::chrono::seconds longest_wait{30};

    /// Takes an applock. False: somebody else has it; then nothing is held of it.
    /// @param wait how long to wait; empty: for ever; 0: not at all
    /// @param d bound on the whole; it is not waited for the server's answer much beyond it
    /// @param stop ends the wait; then it is false, too
    /// @throws no_answer the session is not usable any more
    /// @throws deadlock_detected, connection_error
    [[nodiscard]] bool get(std::string_view resource, std::string_view mode,
                           std::optional<std::chrono::milliseconds> wait, deadline d, const std::stop_token& stop = {});
    [[nodiscard]] bool try_get(std::string_view resource, std::string_view mode, deadline d) {
        return get(resource, mode, std::chrono::milliseconds{0}, d);
    }
    /// Whether somebody else had it, whom the last `get` that was granted waited for. Babelfish always says no.
    [[nodiscard]] bool waited() const noexcept;
    /// Once more what the session holds in that mode. Where no answer comes, nobody can tell how often it is held: then
    /// the session is not usable any more.
    [[nodiscard]] bool try_get_again(std::string_view resource, std::string_view mode, deadline d);

    /// @param last the session holds it once. Otherwise, where no answer comes, the session is not usable any more
    /// @throws connection_error also if the session does not hold it
    void release(std::string_view resource, deadline d, bool last = true);

    /// Asks the server for a sign of life.
    /// @throws no_answer there was none
    void ask(deadline d);

    /// Whether a transaction is open in the session.
    /// @throws no_answer; connection_error
    [[nodiscard]] bool in_transaction(deadline d);

    /// Runs `sql`, to which `bind` adds parameters and columns.
    /// @throws no_answer; connection_error the server refuses it
    void ask_for(std::string_view sql, deadline d, const std::function<void(odbc::statement&)>& bind);

    /// What the driver may add to the deadline of a call that does not wait in the server, where SQLCancel does not
    /// help. Finding out what a call has done that was ended may take as long, if that is more than 5 s.
    void driver_timeout(std::chrono::milliseconds t);

    /// In which mode the session holds it, as the server sees it; empty: not at all. Valid until the next call.
    /// @throws no_answer
    [[nodiscard]] std::string_view mode_of(std::string_view resource, deadline d);

    /// The driver's name and version.
    [[nodiscard]] std::string driver() const { return connection_.driver(); }
    /// For other statements in the same session.
    [[nodiscard]] odbc::connection& connection() noexcept { return connection_; }

    [[nodiscard]] bool usable() const noexcept { return connection_.usable(); }
    [[nodiscard]] std::string last_words() const { return connection_.last_words(); }
    /// What it holds, nobody can tell.
    void abandon(const std::string& why) { connection_.abandon(why); }
    void heard_close() { connection_.heard_close(); }

private:
    void bind(std::string_view owner);
    [[nodiscard]] bool get_within(std::string_view resource, std::string_view mode, std::chrono::milliseconds wait,
                                  deadline d, const std::stop_token& stop);
    [[nodiscard]] bool refused_get(bool waited, deadline d);
    void answer(odbc::statement& question, deadline d, const char* if_not);
    odbc::statement& waiting_get();
    [[noreturn]] void give_up(const char* why);
    [[noreturn]] void fail(const std::string& why, int code) const;

    odbc::canceler& canceler_;
    odbc::connection connection_;
    std::chrono::milliseconds to_find_out_{5'000};
    SQLINTEGER code_ = 0;
    SQLINTEGER wait_ms_ = 0;
    odbc::wide_text resource_;
    odbc::wide_text mode_;
    odbc::wide_text owner_;
    odbc::wide_text principal_;
    std::array<char, 64> held_{};
    odbc::statement get_;
    odbc::statement release_;
    odbc::statement ask_mode_;
    odbc::statement ask_;
    std::optional<odbc::statement> waiting_get_;  ///< has a driver's timeout of its own
};

/// Undoes what was taken on the way to something that failed. If that cannot be done, the session goes, and all with
/// it.
template <class Statement>
void undo(applock_session& s, Statement release) noexcept {
    try {
        release();
    } catch (const std::exception& e) {
        s.abandon(e.what());
    }
}

}  // namespace rowlock::sqlserver
