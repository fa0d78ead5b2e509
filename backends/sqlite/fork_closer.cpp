#include "fork_closer.hpp"

#include <mutex>
#include <vector>

#include <pthread.h>

namespace rowlock::sqlite {
namespace {

struct closers {
    std::mutex mutex{};
    std::vector<fork_closer*> list{};

    static closers& all() {
        static auto* const the_one = [] {
            auto* made = new closers;  // never destroyed: fork() may come after the end of main
            pthread_atfork(
                [] {
                    all().mutex.lock();
                    for (auto* c : all().list) c->before_fork();
                },
                [] {
                    for (auto* c : all().list) c->after_fork();
                    all().mutex.unlock();
                },
                [] {
                    all().list.clear();  // they are the parent's
                    all().mutex.unlock();
                });
            return made;
        }();
        return *the_one;
    }
};

}  // namespace

fork_registration::fork_registration(fork_closer& c) : closer_{c} {
    auto& all = closers::all();
    const std::lock_guard lock{all.mutex};
    all.list.push_back(&closer_);
}

fork_registration::~fork_registration() {
    auto& all = closers::all();
    const std::lock_guard lock{all.mutex};
    std::erase(all.list, &closer_);
}

}  // namespace rowlock::sqlite
