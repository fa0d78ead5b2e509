// Hearing what happens to the locks of a program, for its log and its metrics.

#include <rowlock/rowlock.hpp>

#include <chrono>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

class log_writer final : public rowlock::observer {
public:
    void granted(const rowlock::lock_event& e) override { write("granted", e); }
    void timed_out(const rowlock::lock_event& e) override { write("timed out", e); }
    void released(const rowlock::lock_event& e) override { write("released", e); }
    void lost(const rowlock::lock_event& e) override { write("lost: " + std::string{e.detail}, e); }
    void release_failed(const rowlock::lock_event& e) override { write("release failed: " + std::string{e.detail}, e); }

private:
    void write(std::string_view what, const rowlock::lock_event& e) {
        const std::lock_guard guard{mutex_};  // called from any thread, also from the one that renews the leases
        std::cout << e.name << ' ' << what << '\n';
        std::clog << e.name << ' ' << std::chrono::duration<double, std::milli>{e.duration}.count() << " ms\n";
    }
    std::mutex mutex_;
};

int main(int, char** argv) {
    using namespace std::chrono_literals;
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();

    auto locks = rowlock::open(url, {.key_prefix = "shop:", .events = std::make_shared<log_writer>()});
    auto held = locks.acquire("import");
    (void)locks.try_acquire("import", 10ms);
    held.release();
}

/* Output:
shop:import granted
shop:import timed out
shop:import released
*/
