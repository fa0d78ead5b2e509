#pragma once

#include <array>
#include <chrono>
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

    /// Takes an applock. False: somebody else has it; then nothing is held of it.
    /// @param wait how long the server waits; empty: for ever; 0: not at all
    /// @param d bound on the whole; it is not waited for the server's answer much beyond it
    /// @param stop ends the wait; then it is false, too
    /// @throws no_answer the session is not usable any more
    /// @throws deadlock_detected, connection_error
    [[nodiscard]] bool get(std::string_view resource, std::string_view mode,
                           std::optional<std::chrono::milliseconds> wait, deadline d, const std::stop_token& stop = {});
    [[nodiscard]] bool try_get(std::string_view resource, std::string_view mode, deadline d) {
        return get(resource, mode, std::chrono::milliseconds{0}, d);
    }

    /// @throws connection_error also if the session does not hold it
    void release(std::string_view resource, deadline d);

    /// In which mode the session holds it, as the server sees it; empty: not at all. Valid until the next call.
    /// @throws no_answer
    [[nodiscard]] std::string_view mode_of(std::string_view resource, deadline d);

    /// For other statements in the same session.
    [[nodiscard]] odbc::connection& connection() noexcept { return connection_; }

    [[nodiscard]] bool usable() const noexcept { return connection_.usable(); }
    [[nodiscard]] std::string last_words() const { return connection_.last_words(); }
    /// What it holds, nobody can tell.
    void abandon(const std::string& why) { connection_.abandon(why); }

private:
    [[nodiscard]] bool ended_get(std::string_view resource, std::string_view mode, bool waited);
    [[noreturn]] void fail(const std::string& why, int code) const;

    odbc::canceler& canceler_;
    odbc::connection connection_;
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
};

}  // namespace rowlock::sqlserver
