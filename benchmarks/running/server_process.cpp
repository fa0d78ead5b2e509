#include "server_process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>

namespace bench {

server_process::server_process(const std::vector<std::string>& command, const std::filesystem::path& socket) {
    std::vector<char*> argv;
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    for (const int fd : {STDOUT_FILENO, STDERR_FILENO})
        posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", O_WRONLY, 0);
    const int error = posix_spawnp(&pid_, argv.front(), &quiet, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&quiet);
    if (error != 0) throw std::runtime_error{"there is no " + command.front()};
    for (int i = 0; i < 500; ++i) {
        if (std::filesystem::exists(socket)) return;
        if (waitpid(pid_, nullptr, WNOHANG) == pid_) throw std::runtime_error{command.front() + " ended at once"};
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
    end();
    throw std::runtime_error{command.front() + " did not start"};
}

server_process::~server_process() { end(); }

void server_process::end() const {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
}

}  // namespace bench
