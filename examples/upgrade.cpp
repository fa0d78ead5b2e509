// Many read, and now and then one of them has to write what it has read: the upgrade lock goes together with readers,
// but only one has it, and it can become exclusive without letting go in between.

#include <rowlock/rowlock.hpp>

#include <chrono>
#include <iostream>
#include <string>

int main(int, char** argv) {
    using namespace std::chrono_literals;
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();
    const auto locks = rowlock::open(url);
    const auto yes_or_no = [](bool b) { return b ? "yes" : "no"; };

    rowlock::upgrade_mutex catalog{locks, "catalog"};
    auto reader = catalog.acquire_shared();
    auto editor = catalog.acquire_upgrade();
    std::cout << "read beside a reader: yes\n";
    std::cout << "a second editor: " << yes_or_no(catalog.try_acquire_upgrade().has_value()) << '\n';
    std::cout << "exclusive while another reads: " << yes_or_no(editor.try_upgrade_for(10ms)) << '\n';

    reader.release();
    const auto before = editor.token();
    std::cout << "exclusive when the reader has gone: " << yes_or_no(editor.try_upgrade_for(5s)) << '\n';
    std::cout << "under a greater token: " << yes_or_no(editor.token() > before) << '\n';
    std::cout << "new readers: " << yes_or_no(catalog.try_acquire_shared().has_value()) << '\n';

    // Those who only read or only write, and never turn from one to the other, take a shared_mutex.
    editor.release();
    rowlock::shared_mutex prices{locks, "prices"};
    const auto one = prices.acquire_shared(), two = prices.acquire_shared();
    std::cout << "a writer beside two readers: " << yes_or_no(prices.try_acquire().has_value()) << '\n';
}

/* Output:
read beside a reader: yes
a second editor: no
exclusive while another reads: no
exclusive when the reader has gone: yes
under a greater token: yes
new readers: no
a writer beside two readers: no
*/
