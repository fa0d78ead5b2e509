#include <boost/test/unit_test.hpp>

#include <memory>

#include <fork_generation.hpp>

#include <sys/wait.h>
#include <unistd.h>

using rowlock::detail::delete_unless_forked;
using rowlock::detail::fork_generation;

namespace {

// What `f` returns in a child process; only async-signal-safe things happen there besides.
template <class Function>
int in_child(Function f) {
    const auto pid = fork();
    if (pid == 0) _exit(f());
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct counted {
    int& deleted;
    ~counted() { ++deleted; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(each_fork_counts_in_the_child_only) {
    const auto here = fork_generation();
    BOOST_TEST(in_child([&] { return static_cast<int>(fork_generation() - here); }) == 1);
    BOOST_TEST(in_child([&] { return in_child([&] { return static_cast<int>(fork_generation() - here); }); }) == 2);
    BOOST_TEST(fork_generation() == here);
}

BOOST_AUTO_TEST_CASE(the_deleter_deletes_in_the_process_that_made_the_object) {
    int deleted = 0;
    std::shared_ptr<counted>{new counted{deleted}, delete_unless_forked{}};
    BOOST_TEST(deleted == 1);
}

BOOST_AUTO_TEST_CASE(the_deleter_leaves_the_object_alone_in_a_child) {
    int deleted = 0;
    std::shared_ptr<counted> object{new counted{deleted}, delete_unless_forked{}};
    BOOST_TEST(in_child([&] {
                   object.reset();
                   return deleted;
               }) == 0);
    object.reset();
    BOOST_TEST(deleted == 1);
}
