#include "session_pool.hpp"

#include <utility>

#include "settings.hpp"

namespace rowlock::postgres {

session_pool::session_pool(conninfo to, std::string_view backend, bool transaction_pooled, gone_function gone)
    : connection_pool{[this, to = std::move(to), backend, transaction_pooled](std::uint64_t id, const wait_bound& w) {
                          auto made = std::make_shared<member>(id, to, backend, w);
                          if (!w.stop.stop_requested()) settle_in(made->s, transaction_pooled, w.until);
                          watch_.add(made->s.socket(), id);
                          return made;
                      },
                      "PostgreSQL", backend, std::move(gone)},
      watch_{[this](std::uint64_t id) { heard_hang_up(id); }} {}

}  // namespace rowlock::postgres
