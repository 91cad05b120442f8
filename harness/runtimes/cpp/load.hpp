// The load generator: requests that arrive whether or not the last one is answered. As harness/runtimes/load.py.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "json.hpp"

namespace requests {

constexpr int64_t kSpin = 100000;  // the last nanoseconds before an arrival are spent looking at the clock

/** When n requests arrive, in nanoseconds from the start: the same history in every language, splitmix64 from `seed`. */
inline std::vector<int64_t> arrivals(int64_t n, double rate, uint64_t seed) {
  std::vector<int64_t> found;
  double at = 0;
  uint64_t state = seed;
  for (int64_t i = 0; i < n; ++i) {
    uint64_t mixed = state += 0x9E3779B97F4A7C15ull;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
    at += -std::log1p(-std::ldexp(static_cast<double>((mixed ^ (mixed >> 31)) >> 11), -53)) / rate;
    found.push_back(static_cast<int64_t>(at * 1e9));
  }
  return found;
}

/** Serve the requests of the protocol's `load`: its reply, but for `preempted`. `serve` answers request i on a stream. */
inline std::string serve(const json::Value& request, int64_t (*now)(), const std::function<void(int64_t, int64_t)>& serve) {
  const int64_t n = request["n"].whole(), streams = request["streams"].whole(1);
  const int64_t bound = request["bound_ns"].whole(-1), most_late = request["most_late"].whole(-1);
  const int64_t most_wait = request["most_wait_ns"].whole(-1);
  const double rate = request["rate"].number;
  const std::vector<int64_t> due =
      rate > 0 ? arrivals(n, rate, static_cast<uint64_t>(request["seed"].whole(0))) : std::vector<int64_t>();
  std::vector<int64_t> latencies(static_cast<size_t>(n), -1);
  std::atomic<int64_t> taken{0}, late{0};
  std::atomic<const char*> ended{""};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex mutex;
  const int64_t start = now();
  auto end = [&](const char* why) {
    const char* none = ended.load();
    if (!*none) ended.compare_exchange_strong(none, why);
  };
  auto stream = [&](int64_t number) {
    try {
      while (!failed && !*ended.load()) {
        const int64_t i = taken.fetch_add(1);
        if (i >= n) return;
        int64_t begun = now(), arrived = begun;
        if (!due.empty()) {
          arrived = start + due[static_cast<size_t>(i)];
          for (; begun < arrived; begun = now()) {
            if (arrived - begun > kSpin) std::this_thread::sleep_for(std::chrono::nanoseconds(arrived - begun - kSpin));
          }
        }
        serve(number, i);
        const int64_t latency = now() - arrived;
        latencies[static_cast<size_t>(i)] = latency;
        if (bound >= 0 && latency > bound && ++late > most_late && most_late >= 0) end("late");
        if (most_wait >= 0 && begun - arrived > most_wait) end("queue");
      }
    } catch (...) {
      std::lock_guard<std::mutex> held(mutex);
      if (!error) error = std::current_exception();
      failed = true;
    }
  };
  std::vector<std::thread> others;
  for (int64_t number = 1; number < streams; ++number) others.emplace_back(stream, number);
  stream(0);
  for (auto& one : others) one.join();
  const int64_t elapsed = now() - start;
  if (error) std::rethrow_exception(error);
  std::vector<int64_t> done;
  int64_t waiting = 0;
  for (int64_t one : latencies)
    if (one >= 0) done.push_back(one);
  for (size_t i = static_cast<size_t>(std::min(taken.load(), n)); i < due.size(); ++i) waiting += due[i] <= elapsed;
  return "\"durations_ns\":" + json::numbers(done) + ",\"elapsed_ns\":" + std::to_string(elapsed) + ",\"ended\":\"" +
         ended.load() + "\",\"waiting\":" + std::to_string(waiting);
}

}  // namespace requests
