#include "applock_pulse.hpp"

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <rowlock/error.hpp>

#include <odbc/errand.hpp>

namespace rowlock::sqlserver {
namespace {

constexpr auto silent = "SQL Server did not answer within the time allowed";
constexpr std::chrono::milliseconds a_moment{5};

}  // namespace

// All at once, as on a dead network none of them answers. In threads of their own, as then the driver hangs, too. Who
// answers can be used again at once, whatever the others do.
boot_clock::time_point applock_pulse::beat() {
    const auto next = boot_clock::now() + interval;
    const auto d = deadline::after(patience_);
    std::list<std::pair<applock_pool::use, odbc::errand>> asked;
    try {
        for (auto& u : sessions_.idle_holders()) {
            odbc::errand question{[m = u.who(), d] { m->s.ask(d); }};
            asked.emplace_back(std::move(u), std::move(question));
        }
    } catch (const error&) {  // no thread: the rest is asked the next time
    }
    while (!asked.empty()) {
        const auto soon = deadline::after(a_moment);
        std::erase_if(asked, [&](auto& one) {
            auto& [u, question] = one;
            try {
                if (question.done({.until = std::min(soon, d)})) return true;
                if (!d.expired()) return false;
                sessions_.give_up(u.who(), silent);
            } catch (const error&) {  // if it is not usable any more, putting it back tells
            }
            return true;
        });
    }
    return sessions_.holds_any() ? next : boot_clock::time_point::max();
}

void close_all(applock_pool& sessions, std::vector<left_over> held, std::chrono::milliseconds patience) noexcept {
    const auto d = deadline::after(patience);
    auto all = sessions.take_all();
    std::vector<odbc::errand> closing;
    for (auto& m : all) {
        std::vector<std::string> resources;
        for (auto& h : held)
            if (h.at == m) resources.push_back(std::move(h.resource));
        std::erase_if(held, [&](const auto& h) { return h.at == m; });
        try {
            closing.emplace_back([m = std::move(m), resources = std::move(resources), d] {
                for (const auto& r : resources) m->s.release(r, d);
            });
        } catch (const error&) {  // no thread: it is closed here
        }
    }
    held.clear();
    for (auto& c : closing) {
        try {
            (void)c.done({.until = d});
        } catch (const error&) {  // closing it gives it back as well, unless the driver manager keeps it
        }
    }
}

}  // namespace rowlock::sqlserver
