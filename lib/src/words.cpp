#include <rowlock/doctor.hpp>
#include <rowlock/observer.hpp>
#include <rowlock/primitive.hpp>

namespace rowlock {

std::string_view to_string(primitive p) noexcept {
    switch (p) {
        case primitive::mutex:
            return "mutex";
        case primitive::shared_mutex:
            return "shared_mutex";
        case primitive::upgrade_mutex:
            return "upgrade_mutex";
        case primitive::semaphore:
            return "semaphore";
    }
    return "?";
}

std::string_view to_string(lock_mode m) noexcept {
    switch (m) {
        case lock_mode::exclusive:
            return "exclusive";
        case lock_mode::shared:
            return "shared";
        case lock_mode::upgrade:
            return "upgrade";
        case lock_mode::permit:
            return "permit";
    }
    return "?";
}

std::string_view to_string(loss_reason r) noexcept {
    switch (r) {
        case loss_reason::expired:
            return "expired";
        case loss_reason::connection:
            return "connection";
        case loss_reason::broken:
            return "broken";
        case loss_reason::server:
            return "server";
    }
    return "?";
}

std::string_view to_string(severity s) noexcept {
    switch (s) {
        case severity::good:
            return "good";
        case severity::advice:
            return "advice";
        case severity::problem:
            return "problem";
    }
    return "?";
}

}  // namespace rowlock
