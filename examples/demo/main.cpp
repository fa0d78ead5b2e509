// A lock that processes contend for while one of them is killed inside it: shows who held it when, and checks it.

#include <getopt.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <langinfo.h>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

#include <rowlock/boot_clock.hpp>

#include "contest.hpp"
#include "history.hpp"
#include "timeline.hpp"
#include "worker.hpp"

namespace {

using namespace std::chrono_literals;

constexpr int usage_error = 2;

volatile std::sig_atomic_t interrupted = 0;

void show_help() {
    std::cout << R"(usage: rowlock-demo [--without-lock] [--workers N] [--turns N] [--seed N]

Several processes take turns in one lock, which stands in a new SQLite database
in a temporary directory. One of them is killed with SIGKILL while it is inside.
Then the whole history is checked; the exit status is 0 if it is right, 1 if
not, and 2 if it could not be run.

  --without-lock  the same with the lock switched off: the check has to fail
  --workers N     how many processes: 3 to 9, otherwise 4
  --turns N       how often each of them takes the lock: 2 to 100, otherwise 6
  --seed N        repeats the random pauses of another run
  --plain         no color, no Unicode, no picture while it runs
  --help          this text
)";
}

// A directory that is removed at the end.
class scratch_directory {
public:
    scratch_directory() {
        auto name = (std::filesystem::temp_directory_path() / "rowlock-demo-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::system_error{errno, std::generic_category(), "cannot create " + name};
        path_ = name;
    }
    ~scratch_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    scratch_directory(const scratch_directory&) = delete;
    scratch_directory& operator=(const scratch_directory&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

int number(const char* option, const char* text, int least, int most) {
    char* end = nullptr;
    errno = 0;
    const long value = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < least || value > most)
        throw std::invalid_argument{std::string{"--"} + option + " takes a number from " + std::to_string(least) +
                                    " to " + std::to_string(most) + ", not " + text};
    return static_cast<int>(value);
}

demo::look look_of_terminal(bool plain) {
    demo::look l;
    const char* term = std::getenv("TERM");
    const bool is_terminal = isatty(STDOUT_FILENO) != 0 && term && std::strcmp(term, "dumb") != 0;
    if (plain || !is_terminal) return l;
    std::setlocale(LC_CTYPE, "");
    l.color = std::getenv("NO_COLOR") == nullptr;
    l.blocks = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) l.columns = std::min<int>(size.ws_col, 100);
    return l;
}

// The picture while it runs: drawn over itself on a terminal, a line now and then elsewhere.
class display {
public:
    display(const demo::contest& c, const demo::plan& p, const demo::look& l, bool live)
        : contest_{c}, plan_{p}, look_{l}, live_{live} {}

    void progress() {
        if (contest_.started() == 0ns) return;
        const auto now = rowlock::boot_clock::now().time_since_epoch();
        if (live_) {
            if (now - drawn_at_ < 40ms) return;
            drawn_at_ = now;
            const auto expected = 100ms * plan_.workers * plan_.turns;
            draw(std::max<demo::nanoseconds>(now, contest_.started() + expected));
        } else if (now - drawn_at_ > 500ms) {
            if (drawn_at_ != 0ns) std::cout << "  " << contest_.history().size() << " turns ..." << std::endl;
            drawn_at_ = now;
        }
    }

    void draw(demo::nanoseconds until) {
        const auto lines = demo::draw(contest_.history(), plan_.workers, contest_.started(), until, look_);
        if (height_ > 0) std::cout << "\033[" << height_ << "A\033[J";
        for (const auto& line : lines) std::cout << line << '\n';
        std::cout << std::flush;
        height_ = live_ ? lines.size() : 0;
    }

private:
    const demo::contest& contest_;
    const demo::plan& plan_;
    const demo::look& look_;
    const bool live_;
    demo::nanoseconds drawn_at_{};
    std::size_t height_ = 0;
};

int run(const demo::plan& p, bool plain) {
    const auto look = look_of_terminal(plain);
    const bool live = !plain && (look.color || look.blocks);
    std::cout << look.paint("1", "rowlock demo: " + std::to_string(p.workers) + " processes, " +
                                     (p.with_lock ? "one lock in a new SQLite database" : "and the lock switched off"))
              << "\nEach goes in " << p.turns << " times. Worker " << p.victim()
              << " is killed with SIGKILL while it is inside" << (p.with_lock ? ";\nits lease would last for 30 s" : "")
              << ". Seed " << p.seed << ".\n\n"
              << std::flush;

    const scratch_directory directory;
    demo::contest contest{p, directory.path()};
    display shown{contest, p, look, live};
    contest.run([&] {
        if (interrupted != 0) throw std::runtime_error{"interrupted"};
        shown.progress();
    });
    shown.draw(rowlock::boot_clock::now().time_since_epoch());

    const auto history = contest.history();
    std::cout << '\n';
    for (const auto& line : demo::tabulate(history, 24, look)) std::cout << line << '\n';

    std::cout << '\n' << look.paint("1", "Checking the history") << '\n';
    const auto verdicts = demo::judge(history, contest.counter(), p.expected());
    for (const auto& v : verdicts)
        std::cout << (v.ok ? look.paint("1;32", "  ok      ") : look.paint("1;31", "  FAILED  ")) << v.text << '\n';
    const bool ok = demo::all_ok(verdicts);
    std::cout << '\n'
              << (ok ? look.paint("1;32", "The lock held.") : look.paint("1;31", "There was no lock to rely on."))
              << std::endl;
    return ok ? 0 : 1;
}

int run_as_worker(char** arguments) {
    const std::string_view locking{arguments[5]};
    return demo::work({.directory = arguments[0],
                       .worker = std::atoi(arguments[1]),
                       .turns = std::atoi(arguments[2]),
                       .gated_turn = std::atoi(arguments[3]),
                       .seed = static_cast<std::uint32_t>(std::strtoul(arguments[4], nullptr, 10)),
                       .with_lock = locking == "locked"});
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 8 && std::strcmp(argv[1], "--worker") == 0) return run_as_worker(argv + 2);

    static const option options[]{{"without-lock", no_argument, nullptr, 'l'},
                                  {"workers", required_argument, nullptr, 'w'},
                                  {"turns", required_argument, nullptr, 't'},
                                  {"seed", required_argument, nullptr, 's'},
                                  {"plain", no_argument, nullptr, 'p'},
                                  {"help", no_argument, nullptr, 'h'},
                                  {nullptr, 0, nullptr, 0}};
    try {
        demo::plan p{.seed = std::random_device{}() % 1'000'000};
        bool plain = false;
        for (int o = 0; (o = getopt_long(argc, argv, "h", options, nullptr)) != -1;) switch (o) {
                case 'l':
                    p.with_lock = false;
                    break;
                case 'w':
                    p.workers = number("workers", optarg, 3, 9);
                    break;
                case 't':
                    p.turns = number("turns", optarg, 2, 100);
                    break;
                case 's':
                    p.seed = static_cast<std::uint32_t>(number("seed", optarg, 0, 999'999));
                    break;
                case 'p':
                    plain = true;
                    break;
                case 'h':
                    show_help();
                    return 0;
                default:
                    return usage_error;
            }
        if (optind != argc) throw std::invalid_argument{std::string{"nothing is to be said by "} + argv[optind]};

        std::signal(SIGPIPE, SIG_IGN);  // output that nobody reads must not leave processes and files behind
        for (const int s : {SIGINT, SIGTERM, SIGHUP}) std::signal(s, [](int) { interrupted = 1; });
        return run(p, plain);
    } catch (const std::exception& e) {
        std::cerr << "rowlock-demo: " << e.what() << '\n';
        return usage_error;
    }
}
