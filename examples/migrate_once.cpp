// A fleet of instances starts at once, and one of them has to prepare the database: the first does it, the others wait
// until it is done and find nothing to do.

#include <rowlock/rowlock.hpp>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

int main(int, char** argv) {
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    const std::filesystem::path version_file = std::string{argv[1]} + "/schema-version";
    std::atomic<int> prepared = 0;
    std::atomic<int> started = 0;

    const auto instance = [&] {
        rowlock::open_schema(url).migrate();  // rowlock's own tables; any number of processes may do this at once
        auto locks = rowlock::open(url);      // a provider of its own, as another process has it
        const auto held = locks.acquire("prepare");
        // Only now look whether there is something to do: whoever waited finds the work of the one before.
        if (!std::filesystem::exists(version_file)) {
            std::ofstream{version_file} << 1;
            ++prepared;
        }
        ++started;
    };
    {
        std::array<std::jthread, 8> fleet;
        for (auto& each : fleet) each = std::jthread{instance};
    }
    std::cout << started << " instances, prepared " << prepared << " time\n";
}

/* Output:
8 instances, prepared 1 time
*/
