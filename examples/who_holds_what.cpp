// Seeing who holds what, and taking a stuck lock away; `rowlock status` and `rowlock break` do the same.

#include <rowlock/rowlock.hpp>

#include <iostream>
#include <stop_token>
#include <string>
#include <thread>

int main(int, char** argv) {
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();

    auto stuck = rowlock::open(url, {.owner = "batch on host a"});
    auto patient = rowlock::open(url, {.owner = "batch on host b"});
    auto held = stuck.acquire("payroll");
    const std::jthread waiting{[&] {
        const auto next = patient.acquire("payroll");
        std::cout << "the next one has a greater token: " << (next.token() > held.token() ? "yes" : "no") << std::endl;
    }};

    auto admin = rowlock::open(url);
    auto all = admin.status("pay");  // every name that starts so
    while (all.at(0).waiters.empty()) all = admin.status("pay");
    for (const auto& lock : all) {
        std::cout << lock.name << '\n';
        for (const auto& h : lock.holders) std::cout << "  held by " << h.owner << ", " << to_string(h.mode) << '\n';
        for (const auto& w : lock.waiters) std::cout << "  wanted by " << w.owner << '\n';
    }
    std::cout << std::flush;

    // The holder hears of it, but maybe only after the next one is inside: what it writes unfenced until then, it
    // writes without a lock. So this is for holders that are known to be stuck. The reason is kept in the database.
    std::stop_source heard;
    const std::stop_callback on_loss{held.lost(), [&] { heard.request_stop(); }};
    admin.break_lock("payroll", "hangs since Friday");
    while (!heard.stop_requested()) std::this_thread::yield();
    std::cerr << held.lost_detail() << '\n';  // broken by HOST:PID:PROGRAM: hangs since Friday
    return held.lost_reason() == rowlock::loss_reason::broken ? 0 : 1;
}

/* Output:
payroll
  held by batch on host a, exclusive
  wanted by batch on host b
the next one has a greater token: yes
*/
