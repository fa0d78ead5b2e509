#pragma once

#include <memory>
#include <string>

#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

#include "client.hpp"

namespace bench {

/// The library, opened for a client: with sessions of its own, except where all locks are in one process anyway.
[[nodiscard]] rowlock::provider open_for(const std::string& url, rowlock::options opt = {});

[[nodiscard]] rowlock::options options_of(const client_spec& s);

/// A client that locks through Rowlock.
[[nodiscard]] std::unique_ptr<client> library_client(const client_spec& s);
/// The same through a provider that exists already.
[[nodiscard]] std::unique_ptr<client> library_client(const rowlock::provider& locks, const client_spec& s);

}  // namespace bench
