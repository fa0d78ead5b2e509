#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/backend.hpp>
#include <rowlock/deadline.hpp>
#include <rowlock/lock_handle.hpp>
#include <rowlock/options.hpp>
#include <rowlock/primitive.hpp>
#include <rowlock/status.hpp>

namespace rowlock {

namespace detail {
class engine;
}

/// One back end with its options: where locks come from. A handle to shared state, cheap to copy; the state lives as
/// long as a provider, a primitive or a lock handle made from it.
///
/// A child process after fork() inherits neither the locks nor the provider: its operations throw `std::logic_error`
/// there, its handles do nothing. Open a new one in the child.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class provider {
public:
    /// Locks through a back end of your own.
    /// @throws std::invalid_argument an option makes no sense
    explicit provider(std::unique_ptr<backend> b, options opt = {});

    [[nodiscard]] bool supports(primitive p) const;
    [[nodiscard]] backend_traits traits() const;
    [[nodiscard]] const options& settings() const noexcept;

    /// An exclusive lock in one call. Empty: somebody else holds it and the wait is over.
    ///
    /// Blocks until the lock is granted, `d` is over or `stop` is requested, and for one `operation_timeout` longer if
    /// the database does not answer; without `d` for one round trip.
    /// @throws cancelled `stop` was requested
    /// @throws connection_error, in_doubt_error, schema_error the database could not be asked
    /// @throws std::invalid_argument the name is not 1 to 255 bytes of UTF-8 without NUL
    [[nodiscard]] std::optional<lock_handle> try_acquire(std::string_view name) { return acquire_exclusive(name, {}); }
    template <class Rep, class Period>
    [[nodiscard]] std::optional<lock_handle> try_acquire(std::string_view name, std::chrono::duration<Rep, Period> d,
                                                         std::stop_token stop = {}) {
        return acquire_exclusive(name, {deadline::after(d), std::move(stop)});
    }
    /// Waits without limit.
    [[nodiscard]] lock_handle acquire(std::string_view name, std::stop_token stop = {});

    /// All of them or none, sorted by name and without duplicates, in that order. They are asked for in one question:
    /// one round trip, or one transaction, on the back ends that can. If one is busy and there is time left, they are
    /// then waited for one after the other in sorted order, under one deadline, so two callers with the same names in
    /// opposite orders do not wait for each other. Throws and blocks like `try_acquire`.
    template <class Rep, class Period>
    [[nodiscard]] std::optional<std::vector<lock_handle>> try_acquire_all(std::span<const std::string> names,
                                                                          std::chrono::duration<Rep, Period> d,
                                                                          std::stop_token stop = {}) {
        return acquire_all(names, {deadline::after(d), std::move(stop)});
    }
    template <class Rep, class Period>
    [[nodiscard]] std::optional<std::vector<lock_handle>> try_acquire_all(std::initializer_list<std::string> names,
                                                                          std::chrono::duration<Rep, Period> d,
                                                                          std::stop_token stop = {}) {
        return acquire_all(std::span{names.begin(), names.size()}, {deadline::after(d), std::move(stop)});
    }
    [[nodiscard]] std::optional<std::vector<lock_handle>> try_acquire_all(std::span<const std::string> names) {
        return acquire_all(names, {});
    }
    [[nodiscard]] std::optional<std::vector<lock_handle>> try_acquire_all(std::initializer_list<std::string> names) {
        return acquire_all(std::span{names.begin(), names.size()}, {});
    }

    /// Who holds and who waits, for every full name that starts with `prefix`, sorted by name. One round trip.
    [[nodiscard]] std::vector<lock_status> status(std::string_view prefix = {}) const;

    /// Takes the lock `name` (with `options::key_prefix` before it) away from whoever holds it. They hear
    /// `loss_reason::broken`, possibly after the next one has it: only their fenced writes are safe. The token grows,
    /// and `reason` stays on record. False: nobody held it.
    /// @throws std::invalid_argument an empty reason
    bool break_lock(std::string_view name, std::string_view reason);

    /// Forgets names that were last granted `idle` ago or longer and that nobody holds or waits for; their tokens go
    /// on growing from a floor. Returns how many.
    std::size_t purge(std::chrono::milliseconds idle);

private:
    friend class acquirer;
    std::optional<lock_handle> acquire_exclusive(std::string_view name, const wait_bound& w);
    std::optional<std::vector<lock_handle>> acquire_all(std::span<const std::string> names, const wait_bound& w);

    std::shared_ptr<detail::engine> engine_;
};

/// Opens what `url` names; see `registered_backends()` for the kinds that this library was built with.
///
/// `memory:` is a new set of locks at each call. `sqlite:PATH` must have been migrated.
/// @throws std::invalid_argument no such kind of URL, or an option that makes no sense
/// @throws connection_error, schema_error the database cannot be used; nothing was changed
[[nodiscard]] provider open(std::string_view url, options opt = {});

/// The kinds of URL that `open` takes here, such as "memory:" and "sqlite:PATH".
[[nodiscard]] std::vector<std::string> registered_backends();

}  // namespace rowlock
