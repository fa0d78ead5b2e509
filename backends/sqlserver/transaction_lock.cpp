#include "transaction_lock.hpp"

#include <chrono>
#include <optional>
#include <stdexcept>

#include <rowlock/error.hpp>

#include <no_answer.hpp>
#include <wait_time.hpp>

#include "applock_session.hpp"
#include "implicit_transaction.hpp"
#include "resource_name.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view backend = "sqlserver";
constexpr std::chrono::milliseconds operation_timeout = 5s;

constexpr int bad_call = -999;

// The procedure returns -999 where no transaction is open, with the first of these messages; APPLOCK_TEST, which is
// asked then, says the second.
bool says_no_transaction(const error& e) {
    const std::string_view text{e.what()};
    return e.native_code() == bad_call || text.find("without an active transaction") != std::string_view::npos ||
           text.find("in the context of a user transaction") != std::string_view::npos;
}

}  // namespace

bool lock_in_transaction(SQLHDBC theirs, const std::string& name, lock_mode mode, const wait_bound& w) {
    if (!theirs) throw std::invalid_argument{"no connection handle was given"};
    const error_context context{.lock_name = name, .backend = std::string{backend}};
    const auto check_stop = [&] {
        if (w.stop.stop_requested()) throw cancelled{"waiting for \"" + name + "\" was cancelled", context};
    };
    check_stop();
    const auto resource = resource_of(name);
    const auto how = mode == lock_mode::exclusive ? applock_mode::exclusive : applock_mode::shared;
    odbc::canceler canceler;
    try {
        applock_session session{theirs, canceler, backend, applock_owner::transaction};
        session.driver_timeout(operation_timeout);
        if (auto& c = session.connection(); !c.commits_by_itself())
            (void)odbc::statement{c, begin_implicitly}.run(canceler, deadline::after(operation_timeout));
        for (;;) {
            const bool waits = !w.until.expired();
            const auto most = waits ? detail::later(w.until, operation_timeout) : deadline::after(operation_timeout);
            if (session.get(resource, how, waits ? detail::wait_time(w.until) : 0ms, most, w.stop)) return true;
            check_stop();
            if (w.until.expired()) return false;
        }
    } catch (const odbc::connection_busy& e) {
        throw std::logic_error{e.what()};
    } catch (const detail::no_answer&) {
        throw;
    } catch (const deadlock_detected& e) {
        throw deadlock_detected{e.what() + std::string{"; roll the transaction back, others wait for what it has"},
                                {.lock_name = name, .backend = e.backend(), .native_code = e.native_code()}};
    } catch (const connection_error& e) {
        if (!says_no_transaction(e)) throw;
        throw std::logic_error{
            "no transaction is open on this connection: begin one, or switch SQL_ATTR_AUTOCOMMIT off, since this lock "
            "is released by its end"};
    }
}

}  // namespace rowlock::sqlserver
