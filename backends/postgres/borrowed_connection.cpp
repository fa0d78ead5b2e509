#include "borrowed_connection.hpp"

#include <stdexcept>
#include <utility>

#include <fcntl.h>

namespace rowlock::postgres {
namespace {

// What an earlier provider has prepared on this connection.
constexpr auto forget_prepared = R"sql(
DO $rowlock$ DECLARE statement_name text; BEGIN
  FOR statement_name IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE name LIKE 'rowlock\_%' LOOP
    EXECUTE pg_catalog.format('DEALLOCATE %I', statement_name);
  END LOOP;
END $rowlock$;
SELECT pg_catalog.pg_backend_pid())sql";

PGconn* connected_for_good(pqxx_connection& c) {
    auto* const now = connected(c);
    never_connect_again(c);
    return now;
}

}  // namespace

borrowed_connection::borrowed_connection(pqxx_connection& c, std::string_view backend, const options& opt,
                                         gone_function gone)
    : theirs_{c},
      backend_{backend},
      gone_{std::move(gone)},
      claim_{connected_for_good(c)},
      to_{conninfo_of(raw(c), opt)},
      socket_{fcntl(PQsocket(raw(c)), F_DUPFD_CLOEXEC, 0)},
      announced_pid_{PQbackendPID(raw(c))},
      only_{std::make_shared<member>(0, raw(c), backend, opt.schema)},
      watch_{[this](std::uint64_t) { heard_hang_up(); }} {
    only_->in_use = false;
    only_->s.expect_many_answers();
    const auto d = deadline::after(opt.operation_timeout);
    const auto here = any(d);
    here->pid = std::stoi(here->run_script(forget_prepared, d).text(0, 0));
    watch_.add(socket_.get(), 0);
}

borrowed_connection::~borrowed_connection() = default;

// Null: it was closed, or closed and opened again.
PGconn* borrowed_connection::still_there() const noexcept {
    auto* const c = raw(theirs_);
    return c && claim_ && claim_->is_of(c) && PQbackendPID(c) == announced_pid_ && PQstatus(c) == CONNECTION_OK
               ? c
               : nullptr;
}

void borrowed_connection::check_status(bool in_transaction) const {
    const auto status = PQtransactionStatus(raw(theirs_));
    if (status == PQTRANS_IDLE || (status == PQTRANS_INTRANS && in_transaction)) return;
    const char* const what = status == PQTRANS_INTRANS   ? "a transaction is open on this connection"
                             : status == PQTRANS_INERROR ? "the transaction that is open on this connection has failed"
                                                         : "a statement, a pipeline or a COPY is going on here";
    if (!in_transaction)
        throw std::logic_error{std::string{what} +
                               ": end it first, or take the lock in it (rowlock::postgres::lock), since a lock of the "
                               "session would outlive its rollback"};
    throw connection_error{std::string{what} + "; a lock is given back when the provider is next used after its end",
                           {.backend = std::string{backend_}}};
}

void borrowed_connection::check_ready() {
    std::unique_lock lock{mutex_};
    if (only_->in_use) return;
    check_there(lock);
    check_status(false);
}

bool borrowed_connection::wanted() const {
    const std::lock_guard lock{mutex_};
    return wanted_ > 0;
}

// Returns when nobody uses it.
void borrowed_connection::enqueue(std::unique_lock<std::mutex>& lock, deadline d) {
    const auto free = [&](const detail::turns::turn* mine) {
        return only_->gone || (!only_->in_use && turns_.may_use(only_.get(), mine));
    };
    if (free(nullptr)) return;
    ++wanted_;
    if (only_->waiting) only_->s.wake();
    bool got = false;
    {
        const detail::turns::turn mine{turns_};
        got = turns_.wait(lock, {.until = d}, [&] { return free(&mine); });
        --wanted_;
    }
    if (!got)
        throw connection_error{"the connection to PostgreSQL was in use by other threads until the time was over",
                               {.backend = std::string{backend_}}};
}

void borrowed_connection::check_there(std::unique_lock<std::mutex>& lock) {
    if (!only_->gone && !still_there()) end(lock, "the connection was closed");
    if (only_->gone)
        throw no_answer{
            "the connection that this provider was made on is gone, and with it all its locks; make a new provider on "
            "a new connection",
            {.backend = std::string{backend_}}};
}

session_source::use borrowed_connection::take(std::unique_lock<std::mutex>& lock, bool to_wait, bool in_transaction) {
    check_there(lock);
    check_status(in_transaction);
    only_->in_use = true;
    only_->waiting = to_wait;
    visit_.emplace(raw(theirs_));
    // In a transaction, a statement that the server does not know any more would be the end of it.
    only_->s.prepares = !only_->s.in_transaction();
    if (to_wait) only_->s.clear_wake();
    return {*this, only_};
}

session_source::use borrowed_connection::any(deadline d) {
    std::unique_lock lock{mutex_};
    enqueue(lock, d);
    return take(lock, false, false);
}

session_source::use borrowed_connection::that(const std::shared_ptr<member>&, deadline d) {
    std::unique_lock lock{mutex_};
    enqueue(lock, d);
    return take(lock, false, true);
}

std::optional<session_source::use> borrowed_connection::without_locks(const wait_bound& w, std::chrono::milliseconds) {
    std::unique_lock lock{mutex_};
    const auto ready = [&] { return only_->gone || only_->waiting || (!only_->in_use && wanted_ == 0); };
    if (!turns_.wait(lock, w, ready)) return std::nullopt;
    if (!only_->gone && only_->waiting) return std::nullopt;
    return take(lock, true, false);
}

void borrowed_connection::put_back(const std::shared_ptr<member>&) noexcept {
    std::unique_lock lock{mutex_};
    visit_.reset();
    only_->in_use = only_->waiting = false;
    if (!only_->gone && (only_->hung_up || !only_->s.usable())) end(lock, only_->s.last_words());
    lock.unlock();
    turns_.look_again();
}

void borrowed_connection::end(std::unique_lock<std::mutex>& lock, const std::string& why) noexcept {
    only_->gone = true;
    claim_.reset();
    lock.unlock();
    gone_(*only_, why);
    turns_.look_again();
    lock.lock();
}

// Whether the owner is reading from it at this moment is not known here: the connection is not touched.
void borrowed_connection::heard_hang_up() noexcept {
    std::unique_lock lock{mutex_};
    only_->hung_up = true;
    if (!only_->gone && !only_->in_use) end(lock, "the server closed the connection, or its owner did");
}

}  // namespace rowlock::postgres
