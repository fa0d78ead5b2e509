#pragma once

#include <connection_source.hpp>

#include "session.hpp"

namespace rowlock::postgres {

using session_source = detail::connection_source<session>;
using member = session_source::member;

}  // namespace rowlock::postgres
