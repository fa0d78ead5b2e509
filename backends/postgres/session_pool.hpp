#pragma once

#include <string_view>

#include <connection_pool.hpp>

#include "hang_up_watch.hpp"
#include "session_source.hpp"

namespace rowlock::postgres {

/// The connections of one provider, and a watch on their sockets.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class session_pool final : public detail::connection_pool<session> {
public:
    /// @param gone called before the session is closed
    session_pool(conninfo to, std::string_view backend, bool transaction_pooled, gone_function gone);
    ~session_pool() override { stop_opening(); }  // it uses the watch

private:
    hang_up_watch watch_;  // last: it ends first
};

}  // namespace rowlock::postgres
