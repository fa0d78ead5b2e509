#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <rowlock/backend.hpp>

#include "arena.hpp"
#include "connection.hpp"
#include "name_state.hpp"

namespace rowlock::sqlite {

/// Row leases in SQLite: transactions around `name_state`, waiting at the arena's bells, and what follows a commit.
class sqlite_backend final : public backend {
public:
    /// @param front where locks are taken and given back
    /// @param back where everything else is done; may be the same
    /// @throws connection_error, schema_error
    sqlite_backend(std::shared_ptr<connection> front, std::shared_ptr<connection> back, std::shared_ptr<arena> here,
                   deadline d);
    ~sqlite_backend() override;

private:
    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    std::vector<renewal> do_renew(std::span<const lock_request* const> held, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;
    std::vector<lock_status> do_inspect(std::string_view prefix, deadline d) override;
    bool do_break(std::string_view name, std::string_view reason, std::string_view by, deadline d) override;
    std::size_t do_purge(std::chrono::milliseconds idle, deadline d) override;
    void do_listen(listener* l) override;

    std::optional<grant> attempt(connection& c, const lock_request& r, deadline d) const;
    [[nodiscard]] name_state state_of(lease_store& store, const std::string& name) const {
        return {store, *here_, token_floor_, name, store.claims(name)};
    }
    [[nodiscard]] static renewal lost(lease_store& store, const request_id& id);
    void ring(const std::vector<request_id>& served) const;
    /// Where a lock is given back: not inside a transaction that the caller happens to have open.
    [[nodiscard]] connection& way_back() const { return front_->in_callers_transaction() ? *back_ : *front_; }

    const std::shared_ptr<connection> front_, back_;
    const std::shared_ptr<arena> here_;
    std::int64_t token_floor_ = 0;
    std::uint64_t alarm_ = 0;
    std::atomic<bool> busy_lately_{false};
};

}  // namespace rowlock::sqlite
