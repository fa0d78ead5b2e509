// A power cut takes the last commits away (WAL with synchronous=NORMAL). Tokens must not go back, and no lease
// survives.
#include <boost/test/unit_test.hpp>

#include <support/actor_process.hpp>
#include <support/sqlite_file.hpp>

using namespace std::chrono_literals;

namespace {

// What was on the disk when the power went; put back as if the last commits had been in the page cache only.
class saved_state {
public:
    explicit saved_state(const rowlock::test::sqlite_file& db) : db_{db} {
        db.run("PRAGMA wal_checkpoint(TRUNCATE)");
        std::filesystem::copy_file(db.path(), db.beside("-saved"));
    }
    void put_back() const {
        for (const auto* beside : {"-wal", "-shm", "-journal"}) std::filesystem::remove(db_.beside(beside));
        std::filesystem::copy_file(db_.beside("-saved"), db_.path(), std::filesystem::copy_options::overwrite_existing);
    }
    // The kernel gives each boot another id; here the id that the database remembers becomes another instead.
    void reboot() const { db_.run("UPDATE rowlock_host SET boot_id = 'the boot before the power cut'"); }

private:
    const rowlock::test::sqlite_file& db_;
};

struct fixture {
    rowlock::test::sqlite_file db;

    // The last token of some cycles.
    std::uint64_t cycle(int times) const {
        auto locks = db.open();
        std::uint64_t last = 0;
        for (int i = 0; i < times; ++i) last = locks.acquire("n").token().value().value();
        return last;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(power_cut, fixture)

BOOST_AUTO_TEST_CASE(tokens_do_not_go_back) {
    (void)cycle(3);
    const saved_state disk{db};
    const auto last = cycle(100);
    disk.put_back();
    disk.reboot();
    const auto next = cycle(1);
    BOOST_TEST(next > last);
    disk.put_back();
    disk.reboot();
    BOOST_TEST(cycle(1) > last, "once more from the same state");
}

BOOST_AUTO_TEST_CASE(tokens_of_purged_and_of_unknown_names_do_not_go_back) {
    (void)cycle(3);
    const saved_state disk{db};
    std::uint64_t last = 0;
    {
        auto locks = db.open();
        for (int i = 0; i < 50; ++i) last = locks.acquire("other").token().value().value();
        BOOST_TEST(locks.purge(0ms) == 2U);
    }
    disk.put_back();
    disk.reboot();
    BOOST_TEST(db.open().acquire("other").token().value().value() > last);
}

// What it hangs on is the number of the boot: in the same boot the lost commits would be handed out again.
BOOST_AUTO_TEST_CASE(control_without_a_new_boot_they_would) {
    (void)cycle(3);
    const saved_state disk{db};
    const auto last = cycle(100);
    disk.put_back();
    BOOST_TEST(cycle(1) < last);
}

BOOST_AUTO_TEST_CASE(no_lease_and_no_waiter_outlives_its_boot) {
    rowlock::test::actor_process holder, waiter;
    for (auto* a : {&holder, &waiter}) a->open(db.url());
    const auto held = rowlock::test::token_in(holder.ask("acquire h n exclusive -"));
    waiter.tell("acquire h n exclusive -");
    {
        auto locks = db.open();
        BOOST_TEST(rowlock::test::waiting(locks, 1));
    }
    const saved_state disk{db};
    holder.kill();
    waiter.kill();
    disk.put_back();
    // They would be seen to be dead by their slots; a cut takes that away, too.
    std::filesystem::remove(db.beside("-rowlock"));
    BOOST_TEST(db.ask("SELECT count(*) FROM rowlock_lease WHERE turn = 0") == "1");
    disk.reboot();
    auto locks = db.open();
    auto mine = locks.try_acquire("n");
    BOOST_REQUIRE(mine.has_value());
    BOOST_TEST(mine->token()->value() > held);
}

BOOST_AUTO_TEST_CASE(the_number_of_the_boot_is_raised_once_for_each) {
    const auto number = [&] { return db.ask("SELECT boot_number FROM rowlock_host"); };
    (void)cycle(1);
    BOOST_TEST(number() == "1");
    (void)cycle(1);
    BOOST_TEST(number() == "1", "not at each opening");
    db.run("UPDATE rowlock_host SET boot_id = 'before'");
    (void)cycle(1);
    BOOST_TEST(number() == "2");
}

BOOST_AUTO_TEST_SUITE_END()
