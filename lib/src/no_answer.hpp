#pragma once

#include <rowlock/error.hpp>

namespace rowlock::detail {

/// The connection failed, or brought no answer in time. The statement may have been carried out. Never leaves the
/// library as such: it is a `connection_error` there, or an `in_doubt_error` where that makes a difference.
class no_answer final : public connection_error {
public:
    using connection_error::connection_error;
    ~no_answer() override;
};

}  // namespace rowlock::detail
