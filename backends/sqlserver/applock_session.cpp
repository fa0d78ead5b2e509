#include "applock_session.hpp"

#include <algorithm>

#include <rowlock/error.hpp>

#include <no_answer.hpp>
#include <wait_time.hpp>

namespace rowlock::sqlserver {
namespace {

// resource, mode, owner, milliseconds
constexpr auto get_applock = "{?=call sp_getapplock(?,?,?,?)}";
// resource, owner
constexpr auto release_applock = "{?=call sp_releaseapplock(?,?)}";
// principal, resource, owner
constexpr auto mode_of_applock = "SELECT APPLOCK_MODE(?,?,?)";
// principal, resource, mode, owner: '1' if it could be had
constexpr auto test_applock = "SELECT APPLOCK_TEST(?,?,?,?)";
constexpr auto sign_of_life = "SELECT 1";
constexpr auto transaction_state = "SELECT XACT_STATE()";

// What sp_getapplock returns.
namespace code {
constexpr int granted = 0;
constexpr int granted_after_waiting = 1;
constexpr int timed_out = -1;
constexpr int canceled = -2;
constexpr int deadlock = -3;
constexpr int refused = -999;
constexpr int none = -1000;  // none of its own: the driver brought no return value
}  // namespace code

constexpr std::chrono::seconds to_answer{4};

}  // namespace

applock_session::applock_session(const odbc::environment& e, odbc::canceler& c, const std::string& connection_string,
                                 std::string_view backend, deadline d)
    : canceler_{c},
      connection_{e, connection_string, "SQL Server", backend, d},
      get_{connection_, get_applock},
      release_{connection_, release_applock},
      ask_mode_{connection_, mode_of_applock},
      ask_{connection_, sign_of_life} {
    bind(applock_owner::session);
}

applock_session::applock_session(SQLHDBC theirs, odbc::canceler& c, std::string_view backend, std::string_view owner)
    : canceler_{c},
      connection_{theirs, "SQL Server", backend},
      get_{connection_, get_applock},
      release_{connection_, release_applock},
      ask_mode_{connection_, mode_of_applock},
      ask_{connection_, sign_of_life} {
    bind(owner);
}

void applock_session::bind(std::string_view owner) {
    owner_.assign(owner);
    principal_.assign("public");
    get_.result(code_).parameter(resource_).parameter(mode_).parameter(owner_).parameter(wait_ms_);
    release_.result(code_).parameter(resource_).parameter(owner_);
    ask_mode_.parameter(principal_).parameter(resource_).parameter(owner_).column(held_);
}

bool applock_session::get(std::string_view resource, std::string_view mode,
                          std::optional<std::chrono::milliseconds> wait, deadline d, const std::stop_token& stop) {
    const auto until = wait ? deadline::after(*wait) : deadline::never();
    for (auto part = wait;; part = detail::wait_time(until)) {
        if (get_within(resource, mode, std::min<std::chrono::milliseconds>(part.value_or(longest_wait), longest_wait),
                       d, stop))
            return true;
        if (until.expired() || d.expired() || stop.stop_requested()) return false;
    }
}

bool applock_session::get_within(std::string_view resource, std::string_view mode, std::chrono::milliseconds wait,
                                 deadline d, const std::stop_token& stop) {
    resource_.assign(resource);
    mode_.assign(mode);
    wait_ms_ = static_cast<SQLINTEGER>(wait.count());
    code_ = code::none;
    auto& s = wait_ms_ == 0 ? get_ : waiting_get();
    for (int tries = 1; s.run(canceler_, d, stop) == odbc::statement::outcome::ended || code_ == code::canceled;
         ++tries) {
        // It may have been granted in the moment in which it was ended. The mode tells a conversion, which leaves the
        // weaker one.
        if (mode_of(resource, deadline::after(to_find_out_)) == mode) return true;
        if (stop.stop_requested() || wait_ms_ != 0) return false;
        // What nobody asked to end was hit by what was left of the cancellation of an earlier call.
        if (tries == 3 || d.expired()) fail("SQL Server did not answer within the time allowed", code_);
        code_ = code::none;
    }
    switch (code_) {
        case code::granted:
        case code::granted_after_waiting:
            return true;
        case code::timed_out:
            return false;
        case code::deadlock:
            throw deadlock_detected{"SQL Server ended this wait, because it closed a circle of waits",
                                    {.backend = std::string{connection_.backend()}, .native_code = code_}};
        case code::none:
            give_up("the driver brought no return value of sp_getapplock");
        case code::refused:
            return refused_get(wait_ms_ != 0, d);
        default:
            fail("sp_getapplock refused the request", code_);
    }
}

bool applock_session::waited() const noexcept { return code_ == code::granted_after_waiting; }

odbc::statement& applock_session::waiting_get() {
    if (!waiting_get_) {
        waiting_get_.emplace(connection_, get_applock);
        waiting_get_->result(code_).parameter(resource_).parameter(mode_).parameter(owner_).parameter(wait_ms_);
        waiting_get_->driver_timeout(longest_wait + to_answer);
    }
    return *waiting_get_;
}

// Babelfish refuses also where it is busy and nobody waits. If it is free by now, that is no longer to be told.
bool applock_session::refused_get(bool waited, deadline d) {
    std::array<char, 16> could_be_had{};
    if (!waited) {
        odbc::statement test{connection_, test_applock};
        test.parameter(principal_).parameter(resource_).parameter(mode_).parameter(owner_).column(could_be_had);
        for (int i = 0; i < 3; ++i) {
            if (test.run(canceler_, d) == odbc::statement::outcome::ended) break;
            if (could_be_had[0] == '0') return false;
            code_ = code::none;
            if (get_.run(canceler_, d) == odbc::statement::outcome::ended)
                give_up("SQL Server did not say whether a lock was granted");
            if (code_ == code::granted || code_ == code::granted_after_waiting) return true;
            if (code_ == code::timed_out) return false;
        }
    }
    fail("sp_getapplock refused the request", code_);
}

bool applock_session::try_get_again(std::string_view resource, std::string_view mode, deadline d) {
    resource_.assign(resource);
    mode_.assign(mode);
    wait_ms_ = 0;
    code_ = code::none;
    if (get_.run(canceler_, d) == odbc::statement::outcome::ended || code_ == code::none || code_ == code::canceled)
        give_up("SQL Server did not say whether a lock is shared once more");
    if (code_ == code::granted || code_ == code::granted_after_waiting) return true;
    return code_ == code::timed_out ? false : refused_get(false, d);
}

void applock_session::release(std::string_view resource, deadline d, bool last) {
    resource_.assign(resource);
    code_ = code::none;
    const bool ended = release_.run(canceler_, d) == odbc::statement::outcome::ended;
    if ((ended || code_ == code::none) && !mode_of(resource, deadline::after(to_find_out_)).empty()) {
        if (!last) give_up("SQL Server did not say how often a lock is still held");
        fail(ended ? "SQL Server did not release a lock within the time allowed"
                   : "the driver brought no return value of sp_releaseapplock, and the lock is still held",
             code_);
    }
    if (code_ < 0 && code_ != code::none) fail("sp_releaseapplock: the session does not hold the lock", code_);
}

// What is left of the cancellation of an earlier call may hit this one.
void applock_session::answer(odbc::statement& question, deadline d, const char* if_not) {
    for (int tries = 1; question.run(canceler_, d) == odbc::statement::outcome::ended; ++tries)
        if (tries == 3 || d.expired()) give_up(if_not);
}

std::string_view applock_session::mode_of(std::string_view resource, deadline d) {
    resource_.assign(resource);
    answer(ask_mode_, d, "SQL Server did not say in time what the session holds");
    if (held_[0] == '\0') give_up("SQL Server did not say what the session holds");
    const std::string_view held{held_.data()};
    return held == "NoLock" ? std::string_view{} : held;
}

void applock_session::ask(deadline d) {
    if (ask_.run(canceler_, d) == odbc::statement::outcome::ended)
        give_up("SQL Server did not answer within the time allowed");
}

bool applock_session::in_transaction(deadline d) {
    std::array<char, 16> state{};
    odbc::statement question{connection_, transaction_state};
    question.column(state);
    answer(question, d, "SQL Server did not say in time whether a transaction is open");
    return std::string_view{state.data()} != "0";
}

void applock_session::ask_for(std::string_view sql, deadline d, const std::function<void(odbc::statement&)>& bind) {
    odbc::statement s{connection_, sql};
    bind(s);
    if (s.run(canceler_, d) == odbc::statement::outcome::ended)
        fail("SQL Server did not answer within the time allowed", 0);
}

void applock_session::driver_timeout(std::chrono::milliseconds t) {
    to_find_out_ = std::max(to_find_out_, t);
    connection_.driver_timeout(t);
    for (auto* const s : {&get_, &release_, &ask_mode_, &ask_}) s->driver_timeout(t);
}

void applock_session::give_up(const char* why) {
    abandon(why);
    throw detail::no_answer{why, {.backend = std::string{connection_.backend()}}};
}

void applock_session::fail(const std::string& why, int code) const {
    throw connection_error{why, {.backend = std::string{connection_.backend()}, .native_code = code}};
}

}  // namespace rowlock::sqlserver
