#pragma once

#include <algorithm>
#include <chrono>
#include <mutex>
#include <vector>

#include "condition.hpp"

namespace rowlock::detail {

/// Who waits to use what many threads use for moments, so that nobody is kept out by others who use it again and again:
/// whoever comes may have what is free, which spares a switch of threads each time, until somebody has waited for
/// longer than `patience`; then that one is next. All of it is used under the owner's mutex. The rule is that of Go's
/// mutexes: https://go.dev/src/internal/sync/mutex.go
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class turns {
public:
    static constexpr std::chrono::milliseconds patience{1};

    /// A place among those who wait, from now on, for `wanted`, or for anything (null).
    class turn {
    public:
        explicit turn(turns& all, const void* wanted = nullptr) : all_{all}, wanted_{wanted} {
            all_.waiting_.push_back(this);
        }
        ~turn() {
            std::erase(all_.waiting_, this);
            all_.look_again();  // the next one may be up
        }
        turn(const turn&) = delete;
        turn& operator=(const turn&) = delete;

    private:
        friend turns;
        turns& all_;
        const void* const wanted_;
        const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
    };

    /// Whether `what`, which is free, may be used by `mine`, or by somebody who has just come (null).
    /// @param by_name it is no use to who waits for anything
    [[nodiscard]] bool may_use(const void* what, const turn* mine = nullptr, bool by_name = false) const {
        const auto first = std::find_if(waiting_.begin(), waiting_.end(),
                                        [&](const turn* t) { return t->wanted_ ? t->wanted_ == what : !by_name; });
        return first == waiting_.end() || *first == mine ||
               std::chrono::steady_clock::now() - (*first)->since_ < patience;
    }

    /// Blocks until `holds`, looked at whenever something changes; false: `w` is over before that.
    template <class Predicate>
    bool wait(std::unique_lock<std::mutex>& lock, const wait_bound& w, Predicate holds) {
        return changed_.wait(lock, w, holds);
    }
    /// Something was put back, or is gone.
    void look_again() noexcept { changed_.notify_all(); }

private:
    std::vector<turn*> waiting_;
    condition changed_;
};

}  // namespace rowlock::detail
