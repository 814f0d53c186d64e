#include "bindings/src/guard/safe_point.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nanobind/nanobind.h>

#include "bindings/src/guard/gil_wait.h"
#include "bindings/src/without_gil.h"

namespace tintype::python {
namespace {

using Depth = std::shared_ptr<std::atomic<int>>;

constexpr std::chrono::milliseconds kLookPeriod{10};
constexpr int kLooksMax = 1000;
// A thread that uses less of the CPU in so many looks waits for something, for a core perhaps.
constexpr std::chrono::nanoseconds kComputing = std::chrono::milliseconds(1);
constexpr int kIdleLooks = 10;

struct Question {
  const std::atomic<int>* thread = nullptr;
  const std::function<void()>* look = nullptr;
  bool is_answered = false;
};

// Never destroyed: engine threads may outlive static objects.
class Questions {
 public:
  // A forked child has none of the threads that asked.
  Questions() {
    ::pthread_atfork([] { all().mutex_.lock(); }, [] { all().mutex_.unlock(); },
                     [] {
                       all().open_.clear();
                       all().open_count_ = 0;
                       all().mutex_.unlock();
                     });
  }

  static Questions& all() {
    static Questions& questions = *new Questions;
    return questions;
  }

  void ask(Question& question) {
    std::lock_guard lock(mutex_);
    open_.push_back(&question);
    ++open_count_;
  }

  bool is_any_open() const { return open_count_ > 0; }

  // Looks on behalf of those who asked about `thread`, the calling one. Needs the GIL.
  void answer(const std::atomic<int>& thread) {
    while (Question* const question = take(thread)) {
      (*question->look)();
      {
        std::lock_guard lock(mutex_);
        question->is_answered = true;
      }
      answered_.notify_all();
    }
  }

  bool wait(const Question& question, std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return answered_.wait_for(lock, limit, [&] { return question.is_answered; });
  }

  // False where it was answered after all: somebody who had taken it is waited for.
  bool take_back(Question& question) {
    std::unique_lock lock(mutex_);
    const auto found = std::ranges::find(open_, &question);
    if (found != open_.end()) {
      open_.erase(found);
      --open_count_;
      return true;
    }
    answered_.wait(lock, [&] { return question.is_answered; });
    return false;
  }

 private:
  Question* take(const std::atomic<int>& thread) {
    std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find(open_, &thread, [](const Question* open) { return open->thread; });
    if (found == open_.end()) return nullptr;
    Question* const question = *found;
    open_.erase(found);
    --open_count_;
    return question;
  }

  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<Question*> open_;  // guarded by mutex_
  std::atomic<int> open_count_ = 0;
};

const Depth& own_depth() {
  thread_local const Depth depth = std::make_shared<std::atomic<int>>(0);
  return depth;
}

// Between two bytecodes of the main thread, with the GIL held.
int answer_pending(void*) {
  Questions::all().answer(*own_depth());
  return 0;
}

// None where the thread is gone.
std::optional<std::chrono::nanoseconds> cpu_time(clockid_t clock) {
  struct timespec time = {};
  if (::clock_gettime(clock, &time) != 0) return std::nullopt;
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Whether the thread has a core or waits for one, or for a disk: see proc(5) on the state in a
// task's `stat`, which stands behind its name in parentheses.
bool is_busy(pid_t thread) {
  std::ifstream file(fmt::format("/proc/self/task/{}/stat", thread));
  std::string line;
  std::getline(file, line);
  const size_t end_of_name = line.rfind(") ");
  if (end_of_name == std::string::npos || end_of_name + 2 >= line.size()) return false;
  const char state = line[end_of_name + 2];
  return state == 'R' || state == 'D';
}

// Whether the thread comes to wait for the GIL while this one holds it, from an operation of
// microseconds, say. What it does afterwards began later. The main thread answers by itself, and
// then in its own state: it tells where it is in Python that an operation runs.
bool is_stopped_by_gil(pid_t thread) {
  if (thread == ::getpid()) return false;
  constexpr int kLooks = 8;
  constexpr std::chrono::microseconds kPeriod{20};
  const nanobind::gil_scoped_acquire gil;
  for (int i = 0; i < kLooks; ++i, std::this_thread::sleep_for(kPeriod)) {
    if (waits_for_gil(thread)) return true;
  }
  return false;
}

// Whether a thread that does not compute has called something that waits, by the system or by its
// Python frame. Else its operation may wait for other threads, which do the work and lack a core.
bool has_gone_to_sleep(pid_t thread, unsigned long ident) {
  if (sleeps_without_word(thread)) return true;
  const nanobind::gil_scoped_acquire gil;
  try {
    return nanobind::cast<bool>(
        nanobind::module_::import_("tintype._guard").attr("is_waiting")(ident));
  } catch (const std::exception&) {
    return false;
  }
}

// True once the question is answered; false once the thread has left the operation that it may have
// been in, is gone or sleeps in somebody else's call.
bool wait_for_operation(const Question& question, clockid_t clock, pid_t thread,
                        unsigned long ident) {
  auto before = cpu_time(clock);
  for (int i = 1; before && i <= kLooksMax && !is_interpreter_ending.load(); ++i) {
    if (Questions::all().wait(question, kLookPeriod)) return true;
    if (is_interpreter_ending.load() || is_stopped_by_gil(thread)) return false;
    if (i % kIdleLooks != 0) continue;
    const auto now = cpu_time(clock);
    if (!now || is_interpreter_ending.load()) return false;
    const bool is_idle = *now - *before < kComputing && !is_busy(thread);
    if (is_idle && has_gone_to_sleep(thread, ident)) return false;
    before = now;
  }
  return false;
}

}  // namespace

// The depth is raised before the questions are counted, and they are asked before the depth is
// looked at: one of the two threads sees the other.
void enter_package() {
  std::atomic<int>& depth = *own_depth();
  if (depth++ == 0 && Questions::all().is_any_open()) Questions::all().answer(depth);
}

void leave_package() { --*own_depth(); }

ObservedThread ObservedThread::current() {
  ObservedThread thread;
  thread.package_calls_ = own_depth();
  ::pthread_getcpuclockid(::pthread_self(), &thread.cpu_clock_);
  thread.id_ = ::gettid();
  thread.ident_ = PyThread_get_thread_ident();
  return thread;
}

void ObservedThread::look_between_operations(const std::function<void()>& look) const {
  Question question{package_calls_.get(), &look};
  Questions::all().ask(question);
  if (*package_calls_ == 0) {
    static_cast<void>(Py_AddPendingCall(&answer_pending, nullptr));
    if (wait_for_operation(question, cpu_clock_, id_, ident_)) return;
  }
  if (!Questions::all().take_back(question) || is_interpreter_ending.load()) return;
  const nanobind::gil_scoped_acquire gil;
  look();
}

}  // namespace tintype::python
