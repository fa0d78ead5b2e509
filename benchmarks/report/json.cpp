#include "json.hpp"

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

namespace bench {
namespace {

using nlohmann::json;
constexpr int format_version = 3;

json number(const std::optional<double>& n) { return n && std::isfinite(*n) ? json(*n) : json(nullptr); }

std::optional<double> number_in(const json& j) { return j.is_null() ? std::nullopt : std::optional{j.get<double>()}; }

using optional_range = std::optional<std::pair<double, double>>;

// An end that is infinite is null.
json write(const optional_range& r) { return r ? json{number(r->first), number(r->second)} : json(nullptr); }

optional_range range_in(const json& j) {
    if (j.is_null()) return std::nullopt;
    constexpr auto infinite = std::numeric_limits<double>::infinity();
    return std::pair{number_in(j.at(0)).value_or(infinite), number_in(j.at(1)).value_or(infinite)};
}

json write(const figure& f) {
    return {{"name", f.name},           {"unit", f.unit},
            {"value", number(f.value)}, {"baseline", number(f.baseline)},
            {"ratio", number(f.ratio)}, {"range", write(f.range)},
            {"unsure", f.unsure()}};
}

figure read_figure(const json& j) {
    return {.name = j.at("name"),
            .unit = j.at("unit"),
            .value = number_in(j.at("value")).value_or(std::nan("")),
            .baseline = number_in(j.at("baseline")),
            .ratio = number_in(j.at("ratio")),
            .range = range_in(j.at("range"))};
}

json write(const measurement& m) {
    json figures = json::array(), distributions = json::array();
    for (const auto& f : m.figures) figures.push_back(write(f));
    for (const auto& d : m.distributions) distributions.push_back({{"who", d.who}, {"points", d.points}});
    return {{"suite", m.suite}, {"back_end", m.back_end},        {"work", m.work}, {"clients", m.clients},
            {"cpus", m.cpus},   {"baseline", m.baseline},        {"ours", m.ours}, {"figures", figures},
            {"note", m.note},   {"distributions", distributions}};
}

measurement read_measurement(const json& j) {
    measurement m{.suite = j.at("suite"),
                  .back_end = j.at("back_end"),
                  .work = j.at("work"),
                  .clients = j.at("clients"),
                  .cpus = j.at("cpus"),
                  .baseline = j.at("baseline"),
                  .ours = j.at("ours"),
                  .note = j.at("note")};
    for (const auto& f : j.at("figures")) m.figures.push_back(read_figure(f));
    for (const auto& d : j.at("distributions"))
        m.distributions.push_back(
            {.who = d.at("who"), .points = d.at("points").get<std::vector<std::pair<double, double>>>()});
    return m;
}

verdict verdict_in(const std::string& text) {
    for (const auto v : {verdict::met, verdict::missed, verdict::not_sure, verdict::not_measured})
        if (to_string(v) == text) return v;
    throw std::invalid_argument{"unknown verdict " + text};
}

json write(const target_row& t) {
    json values = json::array();
    for (const auto& v : t.values)
        values.push_back({{"cpus", v.cpus}, {"value", number(v.value)}, {"range", write(v.range)}});
    return {
        {"work", t.work}, {"bound", t.bound}, {"values", values}, {"verdict", to_string(t.outcome)}, {"note", t.note}};
}

target_row read_target(const json& j) {
    target_row t{
        .work = j.at("work"), .bound = j.at("bound"), .outcome = verdict_in(j.at("verdict")), .note = j.at("note")};
    for (const auto& v : j.at("values"))
        t.values.push_back({v.at("cpus"), number_in(v.at("value")), range_in(v.at("range"))});
    return t;
}

}  // namespace

std::string to_json(const report& r) {
    json about = json::array(), measurements = json::array(), targets = json::array();
    for (const auto& [what, value] : r.about) about.push_back({{"what", what}, {"value", value}});
    for (const auto& m : r.measurements) measurements.push_back(write(m));
    for (const auto& t : r.targets) targets.push_back(write(t));
    return json{{"rowlock_bench", format_version},
                {"about", about},
                {"measurements", measurements},
                {"targets", targets}}
               .dump(1, ' ', false, json::error_handler_t::replace) +
           "\n";
}

report report_in(std::string_view text) {
    try {
        const auto j = json::parse(text);
        if (j.at("rowlock_bench") != format_version) throw std::invalid_argument{"another version of the format"};
        report r;
        for (const auto& a : j.at("about")) r.about.emplace_back(a.at("what"), a.at("value"));
        for (const auto& m : j.at("measurements")) r.measurements.push_back(read_measurement(m));
        for (const auto& t : j.at("targets")) r.targets.push_back(read_target(t));
        return r;
    } catch (const json::exception& e) {
        throw std::invalid_argument{std::string{"this is no report of rowlock-bench: "} + e.what()};
    }
}

report read_report(const std::filesystem::path& file) {
    std::ifstream in{file};
    if (!in) throw std::runtime_error{"cannot read " + file.string()};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    try {
        return report_in(text);
    } catch (const std::invalid_argument& e) {
        throw std::invalid_argument{file.string() + ": " + e.what()};
    }
}

void write_file(const std::filesystem::path& file, const std::string& text) {
    std::ofstream out{file};
    if (!(out << text).flush()) throw std::runtime_error{"cannot write " + file.string()};
}

}  // namespace bench
