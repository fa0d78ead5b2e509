#include "session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <stop_token>
#include <system_error>

#include <poll.h>

namespace rowlock::postgres {
namespace {

// How soon this side notices that the other one is gone without a word: 2 s + 3 * 1 s of silence, or 4 s without an
// acknowledgement. The server is told to take longer (see settings.cpp), so that the holder hears of it first. What the
// user's own connection string says goes before.
constexpr std::array<std::array<const char*, 2>, 6> defaults{{
    {"keepalives", "1"},
    {"keepalives_idle", "2"},
    {"keepalives_interval", "1"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "4000"},
    {"client_encoding", "UTF8"},
}};

constexpr int binary = 1;

// Servers complain in their log of clients that give up half-way; so much longer it takes to stop.
constexpr std::chrono::milliseconds to_end_connecting{500};

}  // namespace

session::session(const conninfo& to, std::string_view backend, const wait_bound& w)
    : backend_{backend}, schema_{to.schema} {
    try {
        connect(to, w);
    } catch (...) {
        PQfinish(connection_);
        throw;
    }
}

session::session(PGconn* borrowed, std::string_view backend, std::string schema)
    : connection_{borrowed},
      borrowed_{true},
      socket_{PQsocket(borrowed)},
      backend_{backend},
      schema_{std::move(schema)} {}

session::~session() {
    if (!borrowed_) PQfinish(connection_);
}

void session::connect(const conninfo& to, const wait_bound& w) {
    // Later words override earlier ones, and `dbname` is expanded to what the connection string says.
    std::vector<const char*> keywords, values;
    for (const auto& [keyword, value] : defaults) {
        keywords.push_back(keyword);
        values.push_back(value);
    }
    const std::array<std::array<const char*, 2>, 2> ours{
        {{"application_name", to.owner.c_str()}, {"dbname", to.text.c_str()}}};
    for (const auto& [keyword, value] : ours) {
        keywords.push_back(keyword);
        values.push_back(value);
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);

    connection_ = PQconnectStartParams(keywords.data(), values.data(), 1);
    if (!connection_) throw std::bad_alloc{};
    PQsetNoticeReceiver(connection_, &hear, this);
    const auto fail_to_connect = [&](const std::string& why) {
        throw connection_error{"cannot connect to PostgreSQL: " + why, {.backend = std::string{backend_}}};
    };
    if (PQstatus(connection_) == CONNECTION_BAD) fail_to_connect(one_line(PQerrorMessage(connection_)));
    auto until = w.until;
    bool stopped = false;
    const std::stop_callback on_stop{w.stop, [this] { wake(); }};
    for (auto next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK; next = PQconnectPoll(connection_)) {
        if (next == PGRES_POLLING_FAILED) fail_to_connect(one_line(PQerrorMessage(connection_)));
        socket_ = PQsocket(connection_);  // another one for each address that is tried
        const short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        bool ready = poll(events, until, !stopped);
        if (!ready && w.stop.stop_requested()) {
            stopped = true;
            until = std::min(until, deadline::after(to_end_connecting));
            ready = poll(events, until, false);
        }
        if (!ready)
            fail_to_connect("no connection to " + std::string{PQhost(connection_)} + " within the time allowed");
    }
    socket_ = PQsocket(connection_);
    expect_many_answers();
    PQsetnonblocking(connection_, 1);
}

void session::hear(void* self, const PGresult* notice) {
    // What comes without being asked for and says why the server ends the session: an error, or a warning of class 57P
    // (operator intervention) when the server is stopped at once or one of its processes crashed.
    const auto field = [&](int code) {
        const char* text = PQresultErrorField(notice, code);
        return std::string_view{text ? text : ""};
    };
    const auto severity = field(PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity == "FATAL" || severity == "PANIC" || field(PG_DIAG_SQLSTATE).starts_with("57P"))
        static_cast<session*>(self)->notice_ = one_line(field(PG_DIAG_MESSAGE_PRIMARY));
}

void session::abandon() noexcept {
    usable_ = false;
    if (listener_) listener_->ring();
}

void session::end(const std::string& why) {
    abandon();
    why_ = why;
    throw no_answer{why, {.backend = std::string{backend_}}};
}

bool session::poll(short events, deadline d, bool heed_wake_up) {
    std::array<pollfd, 3> all{{{socket_, events, 0}, {alarm_.fd(), POLLIN, 0}, {wake_up_.fd(), POLLIN, 0}}};
    for (;;) {
        alarm_.ring_by(d);
        const int ready = ::poll(all.data(), heed_wake_up ? 3 : 2, -1);
        if (ready < 0 && errno != EINTR) throw std::system_error{errno, std::generic_category(), "poll"};
        if (ready < 0) continue;
        if (all[0].revents != 0) return true;
        if (all[2].revents != 0) {
            wake_up_.clear();
            return false;
        }
        alarm_.clear();
        if (d.expired()) return false;
    }
}

void session::flush(deadline d) {
    for (;;) {
        const int left = PQflush(connection_);
        if (left == 0) return;
        if (left < 0) end("the connection to PostgreSQL failed: " + one_line(PQerrorMessage(connection_)));
        if (!poll(POLLIN | POLLOUT, d, false)) end("PostgreSQL took no request within the time allowed");
        // It may be waiting for us to read before it reads on.
        if (PQconsumeInput(connection_) == 0) (void)last_words();
    }
}

const char* session::text_of(const statement& s) {
    if (schema_ == default_schema) return s.sql;
    auto& text = texts_[&s];
    if (text.empty()) text = in_schema(s.sql, schema_);
    return text.c_str();
}

void session::collect_what_was_sent_off(deadline d) {
    if (!std::exchange(sent_off_, false)) return;
    try {
        (void)collect(d);
    } catch (const no_answer&) {
        throw;
    } catch (const error& e) {
        end(e.what());
    }
}

void session::prepare(const statement& s, deadline d) {
    if (std::find(prepared_.begin(), prepared_.end(), &s) != prepared_.end()) return;
    if (PQsendPrepare(connection_, s.name, text_of(s), 0, nullptr) == 0)
        end("the connection to PostgreSQL failed: " + one_line(PQerrorMessage(connection_)));
    (void)collect(d);
    prepared_.push_back(&s);
}

void session::send_bound(const statement& s, deadline d, int n, const char* const* values, const int* lengths,
                         const int* formats) {
    collect_what_was_sent_off(d);
    if (prepares) prepare(s, d);
    const int sent = prepares
                         ? PQsendQueryPrepared(connection_, s.name, n, values, lengths, formats, binary)
                         : PQsendQueryParams(connection_, text_of(s), n, nullptr, values, lengths, formats, binary);
    if (sent == 0) end("the connection to PostgreSQL failed: " + one_line(PQerrorMessage(connection_)));
}

result session::run_bound(const statement& s, deadline d, int n, const char* const* values, const int* lengths,
                          const int* formats) {
    try {
        send_bound(s, d, n, values, lengths, formats);
        return collect(d);
    } catch (const error& e) {
        // The owner of a borrowed connection may have said DEALLOCATE ALL.
        if (!borrowed_ || e.sqlstate() != sqlstate::invalid_statement_name || in_transaction()) throw;
    }
    prepared_.clear();
    send_bound(s, d, n, values, lengths, formats);
    return collect(d);
}

result session::run_script(const std::string& sql, deadline d) {
    send_script(sql, d);
    return collect(d);
}

void session::send_script(const std::string& sql, deadline d) {
    collect_what_was_sent_off(d);
    if (PQsendQuery(connection_, in_schema(sql, schema_).c_str()) == 0)
        end("the connection to PostgreSQL failed: " + one_line(PQerrorMessage(connection_)));
    flush(d);
}

bool session::await_answer(deadline d) {
    while (PQisBusy(connection_) != 0) {
        if (!poll(POLLIN, d, true)) return false;
        if (PQconsumeInput(connection_) == 0) break;  // collect() says what is wrong
    }
    return true;
}

result session::next_result(deadline d) {
    while (PQisBusy(connection_) != 0) {
        const bool something_came = answers_ ? answers_->await(d) : poll(POLLIN, d, false);
        if (!something_came) end("PostgreSQL did not answer within the time allowed");
        if (PQconsumeInput(connection_) == 0) {
            const auto why = one_line(PQerrorMessage(connection_));
            end("the connection to PostgreSQL failed: " + (notice_.empty() ? why : notice_));
        }
    }
    return result{PQgetResult(connection_)};
}

result session::collect(deadline d) {
    flush(d);
    result last;
    result failed;
    for (;;) {
        auto r = next_result(d);
        if (!r.raw()) break;
        switch (PQresultStatus(r.raw())) {
            case PGRES_COMMAND_OK:
                if (last.rows() == 0) last = std::move(r);
                break;
            case PGRES_TUPLES_OK:
                last = std::move(r);
                break;
            default:
                if (!failed.raw()) failed = std::move(r);
        }
        if (PQstatus(connection_) == CONNECTION_BAD) break;
    }
    if (PQstatus(connection_) == CONNECTION_BAD) {
        auto why = failed.raw() ? one_line(PQresultErrorMessage(failed.raw())) : one_line(PQerrorMessage(connection_));
        end("the connection to PostgreSQL failed: " + (notice_.empty() ? why : notice_));
    }
    if (listener_ && !notified_) {
        look_for_notifications();
        if (notified_) listener_->ring();
    }
    if (failed.raw()) {
        before_failure_ = std::move(last);
        fail(failed.raw(), backend_, schema_);
    }
    return last;
}

void session::request_cancel() const noexcept {
    const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> request{PQgetCancel(connection_), &PQfreeCancel};
    std::array<char, 256> why{};
    if (request) (void)PQcancel(request.get(), why.data(), static_cast<int>(why.size()));
}

void session::listen(const std::string& channel, std::shared_ptr<const wake_up> heard, deadline d) {
    (void)run_script("LISTEN " + channel, d);
    listener_ = std::move(heard);
    notified_ = false;
}

void session::look_for_notifications() {
    for (PGnotify* n = PQnotifies(connection_); n; n = PQnotifies(connection_)) {
        notified_ = notified_ || n->extra == schema_;
        PQfreemem(n);
    }
}

bool session::take_notification(deadline d) {
    collect_what_was_sent_off(d);  // libpq shows nothing that has come behind an answer that nobody took
    if (PQconsumeInput(connection_) == 0) end("the connection to PostgreSQL failed: " + last_words());
    look_for_notifications();
    return std::exchange(notified_, false);
}

std::string session::last_words() {
    if (!why_.empty()) return why_;
    abandon();
    if (borrowed_) return why_ = "the connection was closed";  // another thread may be reading from it
    while (PQconsumeInput(connection_) != 0) {
        (void)PQisBusy(connection_);
        if (PQstatus(connection_) == CONNECTION_BAD || !poll(POLLIN, deadline::passed(), false)) break;
    }
    (void)PQisBusy(connection_);  // parses what has come, and so hears the notice
    why_ = notice_.empty() ? one_line(PQerrorMessage(connection_)) : notice_;
    if (why_.empty()) why_ = "the connection was closed";
    return why_;
}

}  // namespace rowlock::postgres
