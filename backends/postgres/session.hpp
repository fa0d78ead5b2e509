#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <rowlock/deadline.hpp>

#include "answer_wait.hpp"
#include "conninfo.hpp"
#include "descriptor.hpp"
#include "failure.hpp"
#include "result.hpp"
#include "statement.hpp"

namespace rowlock::postgres {

/// One connection to a PostgreSQL server, spoken through libpq without ever blocking longer than told.
///
/// A statement that fails with an error of SQL leaves it usable. After anything else (the connection broke, an answer
/// did not come in time) it is not usable any more: it never connects again by itself, because a new session would hold
/// none of the locks of the old one.
///
/// Distinct objects: safe.
/// Shared objects: unsafe, except `wake()` and `socket()`.
class session {
public:
    /// Connects; blocks until `w` is over, half a second longer where it is stopped, and while libpq looks up a host's
    /// name.
    /// @throws connection_error
    session(const conninfo& to, std::string_view backend, const wait_bound& w);
    session(const conninfo& to, std::string_view backend, deadline d) : session{to, backend, wait_bound{.until = d}} {}
    /// Speaks through a connection that is somebody else's and stays so: nothing is set on it, nor is it closed. See
    /// `visit`.
    session(PGconn* borrowed, std::string_view backend, std::string schema = std::string{default_schema});
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    /// Runs one statement: one send, one receive. It is prepared at its first use.
    /// @throws no_answer the session is not usable any more
    /// @throws rowlock::error the server reported an error
    template <class... T>
    result run(const statement& s, deadline d, const T&... values) {
        const arguments<sizeof...(T)> a{values...};
        return run_bound(s, d, a.size(), a.values(), a.lengths(), a.formats());
    }

    /// Sends one statement whose answer nobody waits for: it is collected before the next one is sent. If that says
    /// that it failed, the session is not usable any more.
    template <class... T>
    void send_off(const statement& s, deadline d, const T&... values) {
        send(s, d, values...);
        sent_off_ = true;
    }

    /// The same for a statement that waits in the server, in steps: see `await_answer`, `collect`.
    template <class... T>
    void send(const statement& s, deadline d, const T&... values) {
        const arguments<sizeof...(T)> a{values...};
        send_bound(s, d, a.size(), a.values(), a.lengths(), a.formats());
        flush(d);
    }

    /// Runs a script of statements without parameters in one round trip; the rows of the last one that brought any, in
    /// text format.
    result run_script(const std::string& sql, deadline d);

    /// The same in steps, for statements that wait: send, wait until there is an answer, collect it.
    void send_script(const std::string& sql, deadline d);
    /// False: `d` passed, or somebody called `wake()`.
    bool await_answer(deadline d);
    result collect(deadline d);
    /// Ends `await_answer`, now or when it is next called. May be called by any thread.
    void wake() const noexcept { wake_up_.ring(); }
    /// Forgets calls of `wake()` that were meant for an earlier wait.
    void clear_wake() const noexcept { wake_up_.clear(); }

    /// Listens on `channel` from now on. `heard` rings when a statement's answer brought a notification for this schema
    /// along, and when the session is not usable any more, whose socket may be another's then. Who waits for a
    /// notification while nothing runs here looks at the socket, too.
    void listen(const std::string& channel, std::shared_ptr<const wake_up> heard, deadline d);
    /// Reads what has come on the socket while nothing ran here; whether there was a notification for this schema since
    /// the last call.
    /// @throws no_answer
    bool take_notification(deadline d);

    /// Whoever runs more than a few statements waits for less time for each answer after that.
    void expect_many_answers() { answers_.emplace(socket_, alarm_); }

    /// The name of the back end that uses it.
    [[nodiscard]] std::string_view backend() const noexcept { return backend_; }
    /// Which rowlock's tables are in, for this session.
    [[nodiscard]] const std::string& schema() const noexcept { return schema_; }
    /// What the statement that failed last had brought before that: rows, if only its commit failed.
    [[nodiscard]] result rows_before_failure() noexcept { return std::move(before_failure_); }

    [[nodiscard]] bool usable() const noexcept { return usable_; }
    void abandon() noexcept;
    [[nodiscard]] int socket() const noexcept { return socket_; }

    /// Why it is not usable any more; after its socket hung up, what the server said unasked.
    [[nodiscard]] std::string last_words();

    /// The server process as the protocol's handshake named it: behind a pooler, the pooler's invention.
    [[nodiscard]] int announced_pid() const noexcept { return PQbackendPID(connection_); }
    [[nodiscard]] int server_version() const noexcept { return PQserverVersion(connection_); }
    [[nodiscard]] bool in_transaction() const noexcept { return PQtransactionStatus(connection_) != PQTRANS_IDLE; }

    /// Asks the server through libpq to end what runs here: a connection for the length of the request, for which
    /// neither a password nor a free slot is needed. Blocks as long as connect(2) does.
    void request_cancel() const noexcept;

    /// The server process. Asked by `settle_in` (see settings.hpp).
    int pid = 0;
    /// Behind a pooler a statement that was prepared here may not be known at its next use.
    bool prepares = true;

private:
    void send_bound(const statement& s, deadline d, int n, const char* const* values, const int* lengths,
                    const int* formats);
    result run_bound(const statement& s, deadline d, int n, const char* const* values, const int* lengths,
                     const int* formats);
    void connect(const conninfo& to, const wait_bound& w);
    void prepare(const statement& s, deadline d);
    void collect_what_was_sent_off(deadline d);
    const char* text_of(const statement& s);
    void flush(deadline d);
    void look_for_notifications();
    result next_result(deadline d);
    bool poll(short events, deadline d, bool heed_wake_up);
    [[noreturn]] void end(const std::string& why);
    static void hear(void* self, const PGresult* notice);

    PGconn* connection_ = nullptr;
    const bool borrowed_ = false;
    int socket_ = -1;
    bool usable_ = true;
    bool sent_off_ = false;
    const std::string_view backend_;
    const std::string schema_;
    wake_up wake_up_;
    alarm alarm_;
    std::optional<answer_wait> answers_;
    std::vector<const statement*> prepared_;
    std::unordered_map<const statement*, std::string> texts_;  ///< for a schema of another name
    std::shared_ptr<const wake_up> listener_;
    bool notified_ = false;
    std::string notice_;
    result before_failure_;
    std::string why_;
};

/// For as long as it lives, a borrowed connection does not block; after that it is again as its owner left it.
class visit {
public:
    explicit visit(PGconn* c) noexcept : connection_{c}, was_{PQisnonblocking(c)} { PQsetnonblocking(c, 1); }
    ~visit() { PQsetnonblocking(connection_, was_); }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

private:
    PGconn* const connection_;
    const int was_;
};

}  // namespace rowlock::postgres
